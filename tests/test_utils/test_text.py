"""What comes from data is printed as text, whatever it holds."""

import io
import json
from types import SimpleNamespace

import numpy as np
import pytest
from rich.table import Table

from mmghm.deploy.page import Gallery, render
from mmghm.utils.errors import UserError, one_line_errors
from mmghm.utils.text import TextConsole
from mmghm.visualization.distribution import (
    draw_class_distribution,
    draw_group_accuracy,
)
from mmghm.visualization.tables import group_table

NAMES = [
    *('[red]cat[/red]', '<script>alert(1)</script>', '$x_1$', '$', '[/]'),
    *(':smile:', '\\frac{', '%{y}', '{{ 7 * 7 }}', 'a & b'),
]
STEERING = 'a\x1b[31mb\x07\u202ec'


def printed(*what):
    file = io.StringIO()
    TextConsole(file=file, width=400).print(*what)
    return file.getvalue()


@pytest.mark.parametrize('name', NAMES)
def test_the_terminal_shows_names(name, capsys):
    table = Table(title=name)
    table.add_column(name)
    table.add_row(name)
    assert printed(f'Wrote {name}.') == f'Wrote {name}.\n'
    assert printed(table).count(name) == 3
    metric = SimpleNamespace(topk=(1,), table=[(name, name, 3, [50.0])])
    assert group_table(metric).count(name) == 2
    with pytest.raises(SystemExit), one_line_errors('mmghm', debug=False):
        raise UserError(f'no class {name}')
    assert capsys.readouterr().err == f'mmghm: no class {name}\n'


def test_a_terminal_is_not_steered(capsys):
    shown = r'a\x1b[31mb\x07\u202ec'
    assert printed(STEERING) == f'{shown}\n'
    with pytest.raises(SystemExit), one_line_errors('mmghm', debug=False):
        raise UserError(f'no class {STEERING}\nhere')
    assert capsys.readouterr().err == f'mmghm: no class {shown} here\n'


def test_pictures_show_names():
    counts = np.arange(len(NAMES), 0, -1)
    for figure in (
        draw_class_distribution(counts, NAMES, 'quartile'),
        draw_group_accuracy([1, 2], {name: [1, 2] for name in NAMES}),
    ):
        # Formulas that are none end the drawing.
        figure.savefig(io.BytesIO(), format='png')


def test_pages_show_names():
    gallery = Gallery(NAMES[:2])
    for name in (*NAMES, STEERING):
        row = dict(path=name, label=name, probability=0.5, label_2=name)
        row.update(probability_2=0.1, group=NAMES[0], abstained=False)
        for _ in gallery.see([row, dict(path=name, error=name)]):
            pass
    page = render(gallery, NAMES[1], NAMES[1])
    assert '<script>alert' not in page and page.count('&lt;script&gt;') > 5
    assert '{{ 7 * 7 }}' in page and '>49<' not in page
    assert json.dumps(NAMES[2])[1:-1] in page
