"""One HTML page of the answer."""

import base64
import io
from pathlib import Path
from typing import Any, Dict, List

from jinja2 import Environment
from markupsafe import Markup
from matplotlib.figure import Figure

from mmghm.evaluation.comparison import Interval

from .answer import Answer, describe

_TEMPLATE = Path(__file__).parent / 'choice.html.j2'


def render(answer: Answer, pictures: Dict[str, Figure], **facts: Any) -> str:
    """Make the page.

    Args:
        answer (Answer): What it says.
        pictures (Dict[str, Figure]): By title.
        **facts (Any): What else the template shows: ``notes``, ``commands``,
            ``held_out``, ``seeds``, ``how``, ``versions``.

    Returns:
        str: HTML that needs no network.
    """
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters['figure'] = _figure
    template = environment.from_string(_TEMPLATE.read_text(encoding='utf-8'))
    return template.render(
        answer=answer,
        what=describe(answer.metric),
        columns=columns(answer),
        pictures=[(title, _svg(of)) for title, of in pictures.items()],
        **facts,
    )


def columns(answer: Answer) -> List[str]:
    """The figures that can be told of at least one method.

    Args:
        answer (Answer): The answer.

    Returns:
        List[str]: Their names.
    """
    first = answer.rows[0].figures
    return [
        name
        for name in first
        if any(
            row.figures[name].value == row.figures[name].value
            for row in answer.rows
        )
    ]


def _figure(interval: Interval) -> str:
    value, low, high = interval
    if value != value:
        return '–'
    return Markup(f'{value:.1f}<small>{low:.1f} to {high:.1f}</small>')


def _svg(figure: Figure) -> str:
    written = io.BytesIO()
    # The same picture has the same bytes.
    figure.savefig(written, format='svg', metadata={'Date': None})
    text = base64.b64encode(written.getvalue()).decode()
    return f'data:image/svg+xml;base64,{text}'
