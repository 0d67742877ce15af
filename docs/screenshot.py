"""Take the picture of a report that the pages show.

Needs Chromium and playwright:
    python docs/screenshot.py report.html docs/report.png
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    """Open the report, compare its first two runs, and save what is seen."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('report', type=Path, help='HTML page of two runs')
    parser.add_argument('out', type=Path, help='picture')
    args = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which('chromium'), args=['--no-sandbox']
        )
        page = browser.new_page(viewport=dict(width=1000, height=1090))
        page.goto(args.report.resolve().as_uri())
        page.wait_for_selector('#status', state='detached')
        page.select_option('#against', '1')
        page.wait_for_timeout(500)
        page.screenshot(path=args.out)
        browser.close()


if __name__ == '__main__':
    main()
