import json
import shutil

import numpy as np
import pytest


@pytest.fixture(scope='session')
def chromium():
    """A headless browser."""
    path = shutil.which('chromium') or shutil.which('google-chrome')
    if path is None:
        pytest.skip('no chromium on this machine')
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Some machines run tests as root, where Chromium has no sandbox.
        browser = playwright.chromium.launch(
            executable_path=path, args=['--no-sandbox']
        )
        yield browser
        browser.close()


@pytest.fixture(scope='session')
def make_run(tmp_path_factory):
    """Write the work dir of an invented run."""

    def make(name, num_classes, epochs, seed=0, regions=30, images=5):
        rng = np.random.default_rng(seed)
        folder = tmp_path_factory.mktemp('runs') / name
        logs = folder / '20260101_000000' / 'vis_data'
        logs.mkdir(parents=True)
        (logs / 'config.py').write_text(
            "model = dict(head=dict(loss=dict(type='GHMCWAPLoss')))\n"
            f'train_cfg = dict(max_epochs={epochs})\n'
        )
        lines = []
        for epoch in range(1, epochs + 1):
            step = 10 * epoch
            train = dict(lr=0.1, loss=1 / epoch, iter=step, epoch=epoch)
            overall = {'group/overall/top1': 50.0 + epoch}
            lines += [dict(train, step=step), dict(overall, step=epoch)]
        text = ''.join(json.dumps(line) + '\n' for line in lines)
        # Killed while it wrote.
        (logs / 'scalars.json').write_text(text + '{"lr": 0.1, "lo')
        record = folder / 'record'
        record.mkdir()
        counts = (1000 * 0.005 ** np.linspace(0, 1, num_classes)).astype(int)
        rng.shuffle(counts)
        names = [f'Genus species {i}' for i in range(num_classes)]
        facts = dict(class_counts=counts.tolist(), classes=names, seed=seed)
        (record / 'run.json').write_text(json.dumps(facts))
        for epoch in range(1, epochs + 1):
            inner = np.sort(rng.beta(0.3, 0.3, (num_classes, regions - 1)))
            examples = rng.poisson(counts[:, None] / regions, inner.shape)
            np.savez_compressed(
                record / f'histograms_{epoch:07d}.npz',
                examples=np.pad(examples, ((0, 0), (0, 1))).astype('f4'),
                edges=np.pad(
                    inner, ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))
                ).astype('f4'),
                weights=rng.lognormal(0, 1, (num_classes, regions)),
            )
        label = np.repeat(np.arange(num_classes), images)
        right = rng.random(len(label)) < 0.7
        wrong = rng.integers(0, num_classes, len(label))
        np.savez_compressed(
            record / 'predictions.npz',
            label=label,
            prediction=np.where(right, label, wrong),
            confidence=rng.uniform(0.2, 1, len(label)),
        )
        return folder

    return make
