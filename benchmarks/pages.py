"""How heavy the built book is, and how soon a reader sees something: `.venv/bin/python benchmarks/pages.py` after `make book`.

Chromium loads pages from a server on loopback, with an empty cache: what it fetches, and when the first chart is there.
"""

import argparse
import functools
import http.server
import shutil
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

SITE = Path(__file__).resolve().parent.parent / "_build" / "html"
PAGES = ("index", "cross-language-influence", "explorer", "runs/xnli/04-cross-language-influence")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
SEEN = "() => document.querySelector('svg.marks, #xl-explorer .xl-list')"


class Counting(http.server.SimpleHTTPRequestHandler):
    sent = []

    def copyfile(self, source, target):
        Counting.sent.append(Path(source.name).stat().st_size)
        super().copyfile(source, target)

    def log_message(self, *arguments):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=SITE)
    site = parser.parse_args().site
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"{site}: {size / 1e6:.1f} MB, {len(list(site.rglob('*.html')))} pages")
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Counting, directory=str(site))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for name in PAGES:
            Counting.sent.clear()
            page = browser.new_context().new_page()
            page.goto(
                f"http://127.0.0.1:{server.server_port}/book/{name}.html", wait_until="commit"
            )
            page.wait_for_function(SEEN)
            seen = page.evaluate("performance.now()") / 1000
            page.wait_for_load_state("networkidle")
            print(
                f"{name}: {sum(Counting.sent) / 1e6:.2f} MB in {len(Counting.sent)} requests, first chart after {seen:.2f} s"
            )
            page.context.close()
        browser.close()


if __name__ == "__main__":
    main()
