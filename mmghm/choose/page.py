"""One HTML page of the answer."""

import base64
import io
from math import isnan
from pathlib import Path
from typing import Any, Dict, List

from jinja2 import Template
from matplotlib.figure import Figure

from .answer import Answer, describe

_TEMPLATE = Path(__file__).parent / 'choice.html.j2'


def render(answer: Answer, pictures: Dict[str, Figure], **facts: Any) -> str:
    """Make the HTML page, which needs no network, with pictures by their titles.

    ``facts`` are what else the template shows: ``notes``, ``commands``,
    ``held_out``, ``seeds``, ``how``, ``versions``.
    """
    template = Template(
        _TEMPLATE.read_text(encoding='utf-8'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return template.render(
        answer=answer,
        what=describe(answer.metric),
        columns=columns(answer),
        pictures=[(title, _svg(of)) for title, of in pictures.items()],
        **facts,
    )


def columns(answer: Answer) -> List[str]:
    """Names of the figures that can be told of at least one method."""
    return [
        name
        for name in answer.rows[0].figures
        if not all(isnan(row.figures[name].value) for row in answer.rows)
    ]


def _svg(figure: Figure) -> str:
    written = io.BytesIO()
    # The same picture has the same bytes.
    figure.savefig(written, format='svg', metadata={'Date': None})
    text = base64.b64encode(written.getvalue()).decode()
    return f'data:image/svg+xml;base64,{text}'
