"""A natural long tail without a download: the characters of English text.

Characters of Python's own manual, taken at random, drawn in the fonts that come with
matplotlib, turned, blurred and noisy. How often a character occurs is up to the
text: e makes up a tenth, others occur once.

Example:
    python study/benchmarks/characters.py work_dirs/characters
    mmghm choose work_dirs/characters/config.py --out choice
"""

import argparse
import pydoc_data.topics
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 32
CONFIG = """# Characters of English text, ResNet-8, for `mmghm choose`.
_base_ = [
    'mmghm::_base_/models/resnet8_cifar.py',
    'mmghm::_base_/schedules/cifar_200e.py',
    'mmghm::_base_/losses/softmax.py',
    'mmghm::_base_/default_runtime.py',
]
folder = {folder!r}
load = [dict(type='LoadImageFromFile')]
train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    dataset=dict(
        type='InMemoryDataset',
        dataset=dict(
            type='CustomDataset',
            data_root=folder + '/train',
            pipeline=load,
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='keep_batch'),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=0,
    dataset=dict(
        type='InMemoryDataset',
        dataset=dict(
            type='CustomDataset', data_root=folder + '/test', pipeline=load
        ),
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='keep_batch'),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='GroupAccuracy', groups=['quartile', 'kang'])
test_evaluator = val_evaluator
data_preprocessor = dict(
    type='BatchDataPreprocessor',
    mean=[128.0] * 3,
    std=[64.0] * 3,
    crop_padding=2,
    num_classes={classes},
)
model = dict(
    head=dict(
        num_classes={classes},
        loss=dict(num_classes={classes}, **_base_.loss),
    )
)
train_cfg = dict(max_epochs=20, val_interval=20)
"""


def draw(character: str, rng: np.random.Generator, fonts: list) -> Image.Image:
    """One image of a character."""
    font = ImageFont.truetype(
        str(fonts[rng.integers(len(fonts))]), int(rng.integers(17, 25))
    )
    dark, light = rng.integers(0, 100), rng.integers(150, 256)
    image = Image.new('L', (SIDE, SIDE), int(light))
    place = SIDE / 2 + rng.normal(0, 1.5, 2)
    ImageDraw.Draw(image).text(
        tuple(place), character, fill=int(dark), font=font, anchor='mm'
    )
    image = image.rotate(rng.normal(0, 8), fillcolor=int(light))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2)))
    noisy = np.asarray(image) + rng.normal(0, 18, (SIDE, SIDE))
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).convert('RGB')


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('out', type=Path, help='the folder to make')
    parser.add_argument('--images', type=int, default=4000)
    parser.add_argument('--test', type=int, default=20, help='of each class')
    parser.add_argument('--seed', type=int, default=0)
    args = parser.parse_args()
    folder = Path(matplotlib.get_data_path()) / 'fonts/ttf'
    fonts = sorted(
        path
        for kind in ('DejaVuS*.ttf', 'STIXGeneral*.ttf')
        for path in folder.glob(kind)
        if 'Display' not in path.name
    )
    rng = np.random.default_rng(args.seed)
    text = ' '.join(pydoc_data.topics.topics.values())
    visible = [c for c in text if 32 < ord(c) < 127]
    counts = Counter(rng.choice(visible, args.images).tolist())
    classes = {c: n for c, n in counts.most_common() if n >= 2}
    for character, number in classes.items():
        for part, images in (('train', number), ('test', args.test)):
            place = args.out / part / f'{ord(character):02x}'
            place.mkdir(parents=True, exist_ok=True)
            for index in range(images):
                draw(character, rng, fonts).save(place / f'{index:04}.png')
    config = args.out / 'config.py'
    config.write_text(
        CONFIG.format(folder=str(args.out.resolve()), classes=len(classes))
    )
    print(
        f'{sum(classes.values()):,} images of {len(classes)} characters, '
        f'{max(classes.values())} to {min(classes.values())} of one; {config}'
    )


if __name__ == '__main__':
    main()
