"""``python -m mmghm``: the tools, wherever the package is installed."""

import argparse
import ast
import runpy
import sys
from pathlib import Path
from typing import Dict, List, Optional

from .utils.dependencies import check_tool, hidden_by, missing_modules

PACKAGE = Path(__file__).parent


def tools() -> Dict[str, Path]:
    """Scripts that are called as subcommands.

    Returns:
        Dict[str, Path]: By name, such as ``train``; beside the package or
        packed inside it.
    """
    for folder in (PACKAGE.parent / 'tools', PACKAGE / '.mim' / 'tools'):
        if (folder / 'train.py').is_file():
            found = [*folder.glob('*.py'), *(folder / 'analysis').glob('*.py')]
            return {
                path.stem: path
                for path in sorted(found)
                if not path.stem.startswith('_')
            }
    return {}


def summary(path: Path) -> str:
    """What a tool is for.

    Args:
        path (Path): The script.

    Returns:
        str: First line of its docstring.
    """
    doc = ast.get_docstring(ast.parse(path.read_text(encoding='utf-8')))
    return (doc or '').partition('\n')[0]


def doctor() -> int:
    """Print versions and what is wrong with them.

    Returns:
        int: Exit status, 1 if something keeps the package from working.
    """
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


def version() -> str:
    """Read the version.

    Returns:
        str: Name and version.
    """
    from mmghm.version import __version__

    return f'mmghm {__version__}'


def main(arguments: Optional[List[str]] = None) -> int:
    """Run a subcommand.

    Args:
        arguments (Optional[List[str]]): In place of the command line's.

    Returns:
        int: Exit status.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    found = tools()
    lines = {'doctor': 'Say what is wrong with an installation.'}
    lines.update((name, summary(path)) for name, path in found.items())
    parser = argparse.ArgumentParser(
        prog='python -m mmghm',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='The tools of mmghm. `python -m mmghm TOOL --help` '
        'explains each of them.\n\n'
        + '\n'.join(f'  {name:16}{line}' for name, line in lines.items()),
        epilog='Examples:\n  python -m mmghm doctor\n'
        '  python -m mmghm train ghm_cwap/resnet8_digits_lt\n'
        '  python -m mmghm report work_dirs/ghm_cwap/resnet8_digits_lt',
    )
    parser.add_argument('--version', action='version', version=version())
    parser.add_argument('tool', choices=lines, metavar='TOOL')
    tool = parser.parse_args(arguments[:1]).tool
    hidden = hidden_by()
    if hidden and tool != 'doctor':
        parser.error(
            f'the folder {hidden} hides the installed package here; run this '
            f'in another folder, such as {hidden} itself'
        )
    if tool == 'doctor':
        argparse.ArgumentParser(
            prog='python -m mmghm doctor',
            description='Print the versions of the installed packages, what '
            'is missing or does not fit, and the fix.',
            epilog='Example: python -m mmghm doctor',
        ).parse_args(arguments[1:])
        return doctor()
    path = found[tool]
    sys.argv = [str(path), *arguments[1:]]
    if 'mmghm.registry' not in sys.modules:
        # Imported so far without what takes seconds: now in full.
        for name in [n for n in sys.modules if n.partition('.')[0] == 'mmghm']:
            del sys.modules[name]
    # As a script finds the modules beside it.
    sys.path.insert(0, str(path.parent))
    try:
        runpy.run_path(str(path), run_name='__main__')
    except ModuleNotFoundError as error:
        # A tool imports some packages before mmghm can name the fix.
        if (error.name or '').partition('.')[0] in missing_modules():
            check_tool()
        raise
    return 0


if __name__ == '__main__':
    sys.exit(main())
