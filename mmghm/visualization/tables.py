"""Tables for the terminal and the log file."""

from typing import Any

from rich.table import Table

from mmghm.utils.text import TextConsole


def group_table(metric: Any) -> str:
    """Last evaluation of a ``GroupAccuracy`` as a table of plain characters."""
    table = Table(title='Accuracy by class group (%)')
    table.add_column('rule')
    table.add_column('group')
    table.add_column('classes', justify='right')
    for k in metric.topk:
        table.add_column(f'top-{k}', justify='right')
    last_rule = ''
    for rule, group, num_classes, values in metric.table:
        if rule != last_rule:
            table.add_section()
        last_rule = rule
        table.add_row(
            rule or 'all',
            group,
            str(num_classes),
            *(f'{value:.2f}' for value in values),
        )
    console = TextConsole(width=80, color_system=None)
    with console.capture() as capture:
        console.print(table)
    return capture.get()
