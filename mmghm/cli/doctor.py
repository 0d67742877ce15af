"""Print the versions of the installed packages, what is missing or does not
fit, and the fix.

Example:
    mmghm doctor
"""

from argparse import ArgumentParser, Namespace
from typing import List


def parse(parser: ArgumentParser, arguments: List[str]) -> Namespace:
    """Read the options."""
    return parser.parse_args(arguments)


def run(args: Namespace) -> int:
    """Examine; return 1 if something keeps the package from working."""
    # Plain text: where it is needed, rich may be missing.
    from mmghm.utils.doctor import examine, versions

    for name, version in versions():
        print(f'{name:14}{version}')
    findings = examine()
    for finding in findings:
        print(f'{"problem" if finding.problem else "note"}: {finding.what}')
        if finding.remedy:
            print(f'    {finding.remedy}')
    broken = any(finding.problem for finding in findings)
    print('Fix the problems above.' if broken else 'All is well.')
    return int(broken)
