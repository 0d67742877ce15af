"""Take the pictures of HTML pages that the documentation shows.

Needs Chromium and playwright:
    python docs/screenshot.py report.html docs/report.png
    python docs/screenshot.py choice/choice.html docs/choice.png --height 900
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    """Open the page and save what is seen."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('page', type=Path, help='HTML page')
    parser.add_argument('out', type=Path, help='picture')
    parser.add_argument('--width', type=int, default=1000, help='pixels')
    parser.add_argument('--height', type=int, default=1090, help='pixels')
    parser.add_argument(
        '--whole', action='store_true', help='the whole length of the page'
    )
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which('chromium'), args=['--no-sandbox']
        )
        size = dict(width=args.width, height=args.height)
        page = browser.new_page(viewport=size)
        page.goto(args.page.resolve().as_uri())
        # A report says here that it is being read.
        page.wait_for_selector('#status', state='detached')
        page.wait_for_timeout(500)
        page.screenshot(path=args.out, full_page=args.whole)
        browser.close()


if __name__ == '__main__':
    main()
