"""Print the versions of the installed packages, what is missing or does not
fit, and the fix.

Example:
    mmghm doctor
"""

import argparse
from typing import List


def parse(
    parser: argparse.ArgumentParser, arguments: List[str]
) -> argparse.Namespace:
    """Read the options."""
    return parser.parse_args(arguments)


def run(args: argparse.Namespace) -> int:
    """Examine; return 1 if something keeps the package from working."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from mmghm.utils.doctor import examine, versions

    console = Console(highlight=False)
    table = Table('package', 'version')
    for row in versions():
        table.add_row(*row)
    console.print(table)
    findings = examine()
    for finding in findings:
        mark = '[red]problem[/red]' if finding.problem else '[cyan]note[/cyan]'
        console.print(f'{mark}: {escape(finding.what)}', soft_wrap=True)
        if finding.remedy:
            console.print(f'    {escape(finding.remedy)}', soft_wrap=True)
    broken = any(finding.problem for finding in findings)
    console.print('Fix the problems above.' if broken else 'All is well.')
    return int(broken)
