"""One HTML page of predictions, to look through."""

import base64
import heapq
import io
import os
import random
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

from jinja2 import Template
from PIL import Image

from mmghm.datasets.transforms import LoadCheckedImage
from mmghm.utils.errors import UserError

_TEMPLATE = Path(__file__).parent / 'predictions.html.j2'
# Images in each part of the page.
SHOWN = 24


class Gallery:
    """Chooses what a page shows, from rows as they come, in bounded memory.

    The surest, the least sure, and a random sample by group of the predicted
    class; and counts.

    Args:
        groups (List[str]): Names of the groups in their order.
    """

    def __init__(self, groups: List[str]) -> None:
        self.counts = dict.fromkeys(groups, 0)
        self.failed: List[Dict[str, Any]] = []
        self.num_failed = self.num_abstained = self.total = 0
        self._surest: List[Tuple[float, int, Dict[str, Any]]] = []
        self._least: List[Tuple[float, int, Dict[str, Any]]] = []
        self._samples: Dict[str, List[Dict[str, Any]]] = {g: [] for g in groups}
        self._random = random.Random(0)

    def see(self, rows: Iterable[Dict[str, Any]]) -> Iterable[Dict[str, Any]]:
        """Look at rows as they pass by."""
        for row in rows:
            self._note(row)
            yield row

    def _note(self, row: Dict[str, Any]) -> None:
        self.total += 1
        if row.get('error'):
            self.num_failed += 1
            if len(self.failed) < SHOWN:
                self.failed.append(row)
            return
        self.num_abstained += row['abstained']
        chance, group = row['probability'], row['group']
        self.counts[group] += 1
        for heap, key in ((self._surest, chance), (self._least, -chance)):
            heapq.heappush(heap, (key, -self.total, row))
            if len(heap) > SHOWN:
                heapq.heappop(heap)
        sample = self._samples[group]
        if len(sample) < SHOWN:
            sample.append(row)
        else:
            place = self._random.randrange(self.counts[group])
            if place < SHOWN:
                sample[place] = row

    def parts(self) -> List[Tuple[str, List[Dict[str, Any]]]]:
        """Titles of the page's parts, and their rows."""

        def ordered(heap: List[Any]) -> List[Dict[str, Any]]:
            return [row for _, _, row in sorted(heap, reverse=True)]

        return [
            ('Least sure', ordered(self._least)),
            ('Surest', ordered(self._surest)),
            *(
                (f'Predicted as a class of the group {group!r}', rows)
                for group, rows in self._samples.items()
                if rows
            ),
        ]


def thumbnail(path: str, side: int) -> str:
    """Small JPEG of an image file, as a data address.

    Its longer side has at most so many pixels. Empty if there is no such file,
    or it cannot be read.
    """
    # A record may come from anybody: no devices, no pipes.
    if not os.path.isfile(path):
        return ''
    try:
        loaded: Any = LoadCheckedImage().transform(dict(img_path=path))
    except UserError:
        return ''
    small = Image.fromarray(loaded['img'][..., ::-1])
    small.thumbnail((side, side))
    written = io.BytesIO()
    small.save(written, 'JPEG', quality=80)
    text = base64.b64encode(written.getvalue()).decode()
    return f'data:image/jpeg;base64,{text}'


def render(gallery: Gallery, model: str, note: str) -> str:
    """Make the HTML page, which needs no network and stays below 3 MB."""
    template = Template(
        _TEMPLATE.read_text(encoding='utf-8'),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return template.render(
        gallery=gallery, model=model, note=note, thumbnail=thumbnail
    )
