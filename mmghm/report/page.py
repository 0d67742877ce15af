"""One HTML page without anything to load."""

import base64
import gzip
import json
from importlib.resources import files
from pathlib import Path
from typing import List, Sequence

import mmghm
from mmghm.utils.dependencies import LazyModule

from .payload import run_payload
from .run import Run, read_run

offline = LazyModule('plotly.offline')

# A page has to stay below 10 MB.
HISTOGRAM_BYTES = 6_000_000


def read_runs(work_dirs: Sequence[Path]) -> List[Run]:
    """Read work dirs, with names that tell them apart.

    Where two folders share their last name, runs are called by as much of the
    path as differs.
    """
    paths = [path.resolve() for path in work_dirs]
    names: List[str] = []
    for path in paths:
        parts = 1
        while parts < len(path.parts) and any(
            other != path and other.parts[-parts:] == path.parts[-parts:]
            for other in paths
        ):
            parts += 1
        names.append('/'.join(path.parts[-parts:]))
    return [read_run(path, name) for path, name in zip(paths, names)]


def render(runs: Sequence[Run]) -> str:
    """Put the HTML page together, which shows the first run at once."""
    payload = dict(
        version=mmghm.__version__,
        runs=[run_payload(run, HISTOGRAM_BYTES // len(runs)) for run in runs],
    )
    # JSON has neither NaN nor infinity; a gap says as much.
    payload = json.loads(json.dumps(payload), parse_constant=lambda _: None)
    folder = files('mmghm.report')
    page = (folder / 'template.html').read_text(encoding='utf-8')
    parts = dict(
        style=(folder / 'report.css').read_text(encoding='utf-8'),
        script=(folder / 'report.js').read_text(encoding='utf-8'),
        plotly=_packed(offline.get_plotlyjs()),
        payload=_packed(json.dumps(payload, separators=(',', ':'))),
    )
    for name, text in parts.items():
        page = page.replace(f'/*{name}*/', text)
    return page


def _packed(text: str) -> str:
    """Text as gzip in base64, which also needs no escaping in HTML."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
