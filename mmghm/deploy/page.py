"""One HTML page of predictions, to look through."""

import base64
import heapq
import io
import random
from pathlib import Path
from typing import Any, Dict, Iterable, List, Tuple

from jinja2 import Environment
from PIL import Image, ImageOps

_TEMPLATE = Path(__file__).parent / 'predictions.html.j2'
# Images in each part of the page.
SHOWN = 24
_SIDE = 112


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
        """Look at rows that pass by.

        Args:
            rows (Iterable[Dict[str, Any]]): The rows.

        Yields:
            Dict[str, Any]: The same.
        """
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
            item = (key, -self.total, row)
            if len(heap) < SHOWN:
                heapq.heappush(heap, item)
            else:
                heapq.heappushpop(heap, item)
        sample = self._samples[group]
        if len(sample) < SHOWN:
            sample.append(row)
        else:
            place = self._random.randrange(self.counts[group])
            if place < SHOWN:
                sample[place] = row

    def parts(self) -> List[Tuple[str, List[Dict[str, Any]]]]:
        """What the page shows.

        Returns:
            List[Tuple[str, List[Dict[str, Any]]]]: Titles and rows.
        """

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


def thumbnail(path: str) -> str:
    """Draw a small picture of an image.

    Args:
        path (str): Its path.

    Returns:
        str: A data address; empty if Pillow cannot read it.
    """
    try:
        with Image.open(path) as image:
            image.draft('RGB', (2 * _SIDE, 2 * _SIDE))
            small = ImageOps.exif_transpose(image).convert('RGB')
    # The model may read what Pillow does not; the page shows a gap then.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ''
    small.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    small.save(written, 'JPEG', quality=80)
    return f'data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}'


def render(gallery: Gallery, model: str, note: str) -> str:
    """Make the page.

    Args:
        gallery (Gallery): What it shows.
        model (str): The model's name.
        note (str): On prior and abstention.

    Returns:
        str: HTML that needs no network, below 3 MB.
    """
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters['thumbnail'] = thumbnail
    template = environment.from_string(_TEMPLATE.read_text(encoding='utf-8'))
    return template.render(gallery=gallery, model=model, note=note)
