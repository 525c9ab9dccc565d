"""How heavy the built book is, and how soon a reader sees a chart: `benchmarks/pages.py`.

Run it with `.venv/bin/python` after `make book`. Chromium loads pages from a server on loopback,
without compression and with an empty cache, as on a desktop and as on a slow phone: a CPU that is
four times slower, 1.6 Mbit/s, and 150 ms for each request. We print what each page fetches, and
when its text, its first chart and the same chart's values are there.
"""

import argparse
import http.server
import shutil
import threading
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Page, sync_playwright

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = (
    "index",
    "cross-language-influence",
    "how-to-read",
    "explorer",
    "runs/xnli/04-cross-language-influence",
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)
# Notes in the page itself when its text, its first chart (at first as a still picture) or the
# explorer's list, and the values that the chart shows on a tap or with the keys, can be seen.
WATCH = """() => {
  const times = (window.xlTimes = {});
  const isSeen = (element) => element.getBoundingClientRect().height > 0;
  const look = () => {
    const [paint] = performance.getEntriesByName("first-contentful-paint");
    if (paint) times.text = paint.startTime;
    const charts = [...document.querySelectorAll(".xl-plot svg, #xl-explorer .xl-list")];
    if (paint && !times["first chart"] && charts.some(isSeen)) {
      times["first chart"] = performance.now();
      document.querySelector(".xl-chart")?.scrollIntoView();
    }
    if (!times["its values"] && document.querySelector(".xl-chart.drawn, #xl-explorer .xl-list")) {
      times["its values"] = performance.now();
    }
    if (!times.text || !times["its values"]) requestAnimationFrame(look);
  };
  look();
}"""
# A page without a chart is done when its text is there.
IS_DONE = """() => document.readyState === "complete" && window.xlTimes.text &&
  (xlTimes["its values"] || !document.querySelector(".xl-chart, #xl-explorer"))"""
PATIENCE = 120_000  # ms


class Device(NamedTuple):
    """What a reader holds."""

    name: str
    width: int  # of the screen, in pixels
    height: int
    slowdown: int  # of the CPU
    bytes_per_second: int  # of the line; 0 is without a limit
    latency: int  # of each request, in ms


DEVICES = (
    Device("desktop", 1440, 900, 1, 0, 0),
    Device("slow phone", 390, 844, 4, 1_600_000 // 8, 150),
)


class CountingServer(http.server.ThreadingHTTPServer):
    """Serves a folder on loopback, and notes the size in bytes of every file that it sends."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self.sent: list[int] = []
        super().__init__(("127.0.0.1", 0), CountingHandler)


class CountingHandler(http.server.SimpleHTTPRequestHandler):
    """Answers the requests to a `CountingServer`."""

    def __init__(self, request: Any, address: Any, server: CountingServer) -> None:
        super().__init__(request, address, server, directory=str(server.site))

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send a file."""
        self.server.sent.append(Path(source.name).stat().st_size)
        super().copyfile(source, outputfile)

    def log_message(self, *arguments: Any) -> None:
        """Print nothing."""


def open_page(browser: Browser, device: Device) -> Page:
    """A page in a context of its own, with an empty cache, as slow as the device.

    Parameters
    ----------
    browser
        A running browser.
    device
        What the page is read on.
    """
    screen = {"width": device.width, "height": device.height}
    page = browser.new_context(viewport=screen).new_page()
    page.set_default_timeout(PATIENCE)
    page.add_init_script(f"({WATCH})()")
    client = page.context.new_cdp_session(page)
    client.send("Emulation.setCPUThrottlingRate", {"rate": device.slowdown})
    line = {"latency": device.latency, "offline": False}
    for way in ("downloadThroughput", "uploadThroughput"):
        line[way] = device.bytes_per_second or -1
    client.send("Network.enable")
    client.send("Network.emulateNetworkConditions", line)
    return page


def seconds(milliseconds: float) -> str:
    """A time, such as '2.3 s'."""
    return f"{milliseconds / 1000:.1f} s"


def measure_page(browser: Browser, server: CountingServer, name: str, device: Device) -> str:
    """What one page fetches, and how soon its first chart is there, as a line of text.

    Parameters
    ----------
    browser
        A running browser.
    server
        Serves the book.
    name
        The page, without its suffix, in the folder `book`.
    device
        What the page is read on.
    """
    server.sent.clear()
    page = open_page(browser, device)
    page.goto(f"http://127.0.0.1:{server.server_port}/book/{name}.html", wait_until="commit")
    page.wait_for_function(IS_DONE)
    times = page.evaluate("xlTimes")
    page.wait_for_load_state("networkidle")
    size, requests = sum(server.sent) / 1e6, len(server.sent)
    page.context.close()
    after = ", ".join(f"{what} after {seconds(time)}" for what, time in times.items())
    return f"{name}, {device.name}: {size:.2f} MB in {requests} requests, {after}"


def main() -> None:
    """Print the size of the site, and the lines of its pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=SITE)
    site = parser.parse_args().site
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"{site}: {size / 1e6:.1f} MB, {len(list(site.rglob('*.html')))} pages")
    server = CountingServer(site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(FLAGS)
        )
        for device in DEVICES:
            for name in PAGES:
                print(measure_page(browser, server, name, device), flush=True)
        browser.close()


if __name__ == "__main__":
    main()
