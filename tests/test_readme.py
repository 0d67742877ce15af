"""README's table is what the study's results say."""

from statistics import mean

from mmghm.experiments.render import GROUPS, spread
from mmghm.experiments.study import gather

from .conftest import ROOT

ROWS = {
    'softmax cross-entropy': 'softmax',
    'Seesaw': 'seesaw',
    'LDAM-DRW': 'ldam_drw',
    'Balanced Softmax': 'margin_two_sided1.0',
    '`GHMCWAPLoss`, the default': 'late_two_sided1.0',
}


def test_the_accuracies_are_those_of_the_results():
    runs = gather(ROOT / 'results/evidence')['base', False]
    expected = []
    for name, setting in ROWS.items():
        results = list(runs[setting].values())
        assert len(results) == 3
        cells = [name, spread([r['overall'] for r in results])]
        for group in GROUPS:
            cells.append(f'{mean(r[f"quartile/{group}"] for r in results):.1f}')
        expected.append(f'| {" | ".join(cells)} |')
    text = (ROOT / 'README.md').read_text()
    table = text.partition('<!-- begin: accuracy -->')[2].partition('<!-- end')[
        0
    ]
    assert table.strip().splitlines()[2:] == expected
