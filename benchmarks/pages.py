"""How heavy the built book is, and how soon a reader sees a chart: `benchmarks/pages.py`.

Run it with `.venv/bin/python` after `make book`. Chromium loads pages from a server on loopback,
with an empty cache; we print what it fetches, and when the first chart is there.
"""

import argparse
import http.server
import shutil
import threading
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, sync_playwright

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = ("index", "cross-language-influence", "explorer", "runs/xnli/04-cross-language-influence")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
)
SEEN = "() => document.querySelector('svg.marks, #xl-explorer .xl-list')"


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


def measure_page(browser: Browser, server: CountingServer, name: str) -> str:
    """What one page fetches, and how soon its first chart is there, as a line of text.

    Parameters
    ----------
    browser
        A running browser; the page gets a context of its own, with an empty cache.
    server
        Serves the book.
    name
        The page, without its suffix, in the folder `book`.
    """
    server.sent.clear()
    page = browser.new_context().new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/book/{name}.html", wait_until="commit")
    page.wait_for_function(SEEN)
    seen = page.evaluate("performance.now()") / 1000
    page.wait_for_load_state("networkidle")
    size, requests = sum(server.sent) / 1e6, len(server.sent)
    page.context.close()
    return f"{name}: {size:.2f} MB in {requests} requests, first chart after {seen:.2f} s"


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
        for name in PAGES:
            print(measure_page(browser, server, name))
        browser.close()


if __name__ == "__main__":
    main()
