"""The models that come with the repository."""

import json
import re

import numpy as np
import pytest
import torch

from mmghm.deploy.load import load_deployed

from ..conftest import ROOT

FOLDERS = sorted(path.parent for path in (ROOT / 'zoo').glob('*/config.json'))


@pytest.mark.parametrize('folder', FOLDERS, ids=lambda path: path.name)
def test_it_is_read_without_trust_and_says_what_was_measured(folder):
    model = load_deployed(str(folder))
    assert len(model.classes) == 10 and model.groups[0] == 'many'
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    logits = model.logits(images)
    assert logits.shape == (2, 10) and np.isfinite(logits).all()
    # Its card's accuracy is that of the run, up to bfloat16.
    told = (ROOT / 'zoo/README.md').read_text()
    line = next(row for row in told.splitlines() if f'`{folder.name}`' in row)
    (result,) = ROOT.glob(re.findall(r'`([^`]+)`', line)[1] + '.json')
    measured = json.loads(result.read_text())['last_epoch']['overall']
    assert float(line.split('|')[-2]) == measured
    card = (folder / 'README.md').read_text()
    assert (
        abs(float(re.search(r'\| overall \| ([\d.]+)', card)[1]) - measured)
        < 0.2
    )


@pytest.mark.slow
def test_it_classifies_real_images(cifar10_folder):
    import cv2

    model = load_deployed(
        str(ROOT / 'zoo/ghm_cwap_balanced_resnet32_cifar10_lt_if100')
    )
    images, labels = [], []
    for label, name in enumerate(model.classes):
        for path in sorted((cifar10_folder / 'test' / name).iterdir())[:30]:
            images.append(cv2.imread(str(path))[..., ::-1].transpose(2, 0, 1))
            labels.append(label)
    logits = model.logits(torch.from_numpy(np.stack(images)))
    # 77.9 % of all test images.
    assert (logits.argmax(1) == labels).mean() > 0.7
