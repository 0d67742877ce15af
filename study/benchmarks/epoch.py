"""What GHM-CWAP adds to an epoch of cross-entropy."""

from typing import Dict, List

import numpy as np

from study.benchmarks.harness import Row, progress, summarise
from study.benchmarks.loop import config, run


def main(device: str, quick: bool) -> Dict[str, List[Row]]:
    # Whole batches of the 12,406 images.
    steps = 6 if quick else 96
    rounds = 1 if quick else 6
    batch = 16 if quick else 128
    samples: Dict[str, List[float]] = {}
    ends: Dict[str, List[float]] = {}
    for _ in progress(range(rounds), 'cost of an epoch'):
        for name, method in (
            ('cross-entropy', 'softmax'),
            ('GHM-CWAP', 'ghm_cwap'),
        ):
            cfg = config(method, True, True, steps, device, batch, 100)
            for hook in cfg.custom_hooks:
                if hook.type == 'AURARebinHook':
                    hook.begin = 0
            durations, end = run(cfg)
            # Medians, lest a disturbance of the machine decide.
            settled = float(np.median(durations[len(durations) // 5 :]))
            samples.setdefault(name, []).append(steps * settled + end)
            ends.setdefault(name, []).append(end)
    rows = summarise(
        f'{steps} steps',
        {name: np.asarray(values) for name, values in samples.items()},
        'cross-entropy',
        's',
        1,
    )
    for row in rows:
        row.note = f'of it the end {1e3 * np.median(ends[row.subject]):.2f} ms'
    return dict(epoch=rows)
