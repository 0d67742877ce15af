"""The pages: they build, their links lead somewhere, their commands run."""

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from importlib.metadata import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

from mmghm.engine.configs import load_config

from .conftest import ROOT, load_tool

pytestmark = pytest.mark.slow

PAGES = [
    ROOT / 'README.md',
    ROOT / 'CONTRIBUTING.md',
    *sorted((ROOT / 'docs').glob('**/*.md')),
    *sorted((ROOT / 'configs').glob('*/README.md')),
    ROOT / 'study/README.md',
]
# What makes a training so short that it can be tried.
SHORT = ['train_cfg.max_epochs=1']
CIFAR = [*SHORT, 'train_dataloader.num_workers=0']
CIFAR += ['val_dataloader.num_workers=0', 'param_scheduler=None']
SMALL_VIT = [*CIFAR, 'model.backbone.module.arch=deit-tiny']
SMALL_VIT += ['model.head.in_channels=192']
SMALL_IMAGES = [*CIFAR, 'image_size=32']
SMALL_RESNET = [*CIFAR, 'model.backbone.depth=18', 'model.head.in_channels=512']


def blocks(page, language):
    pattern = rf'^ *```{language}\n(.*?)^ *```'
    return re.findall(pattern, page.read_text(), re.S | re.M)


def commands():
    """Every command of the pages, once."""
    found = {}
    for page in PAGES:
        for block in blocks(page, 'bash'):
            for line in re.sub(r'\\\n\s*', '', block).splitlines():
                line = re.sub(r'(^|\s)#.*', '', line).strip()
                if line:
                    found.setdefault(line, page.relative_to(ROOT))
    return found


COMMANDS = commands()


def with_options(command, options):
    """Add settings to those that a command has."""
    joint = ' ' if '--cfg-options' in command else ' --cfg-options '
    return command + joint + ' '.join(options)


WHOLE = 'python tools/train.py configs/ghm_cwap/resnet8_digits_lt.py'


def rehearsal(command):
    """What to run in a command's place; None for what .ci/run itself is."""
    short = shortened(command)
    trains = re.search(r'(_|mmghm )train\b|tools/train\.py', short or '')
    if short == WHOLE or not trains or '--work-dir' in short:
        return short
    # The pages train the same configs, and no run trains over another.
    return f'{short} --work-dir work_dirs/{zlib.crc32(command.encode()):x}'


def differs_in_its_loss_alone(command):
    """A config's page, which has the same commands as the other losses'."""
    page = COMMANDS[command]
    methods = page.parts[0] == 'configs' and page.parent.name != 'own_data'
    return methods and page.parent.name != 'ghm_cwap'


def shortened(command):
    """A command with so little to train that it can be tried."""
    if command.startswith('pip install') and '&&' not in command:
        # test_the_pages_install_extras_that_exist reads it.
        return None
    if 'python -m pytest' in command:
        for path in re.findall(r'tests/\S+', command):
            assert (ROOT / path).exists()
        return None
    command = re.sub(r'^pip install .*? && ', '', command)
    if 'download.py' in command:
        # test_converters.py downloads, from a server of its own.
        return None
    if '... ' in command:
        # A folder whose name only a long run tells.
        return None
    if re.search('study/(benchmarks|pages|few_images)', command):
        # They write into the results; test_study has them.
        return None
    if command.startswith('python study/reproduce.py'):
        command = command.replace('cifar10 cifar100', 'cifar10')
        wanted = ' --imbalance 100' if '--datasets' in command else ''
        # Each seed's images are drawn for the plan.
        command = re.sub(r'--seeds [\d ]*\d', '--seeds 0', command)
        return f'{command}{wanted} --dry-run'
    if 'own_data' in command:
        # Weights would be downloaded.
        command = f'PRETRAINED=none {command}'
    if 'mmghm choose' in command:
        return with_options(f'{command} --dry-run', SMALL_IMAGES)
    if 'own_data' in command and 'browse' not in command:
        command = command.replace('epoch_30', 'epoch_1')
        return with_options(
            command, CIFAR if 'BACKBONE=' in command else SMALL_IMAGES
        )
    if 'vit_base_lora' in command:
        return with_options(f'{command} --no-validate', SMALL_VIT)
    if re.search('liu2019|places_lt|inat2018', command):
        return with_options(f'{command} --no-validate', SMALL_RESNET)
    if 'tinyimagenet' in command and 'train.py' in command:
        balanced = 'train_dataloader.dataset.imbalance_factor=1'
        return with_options(f'{command} --no-validate', [*CIFAR, balanced])
    if 'make_list.py' in command and 'tinyimagenet' in command:
        return command.replace('_if100', '_if1')
    if re.search(r'resnet50_imagenet_lt(\.py)?( |$)', command):
        counts = ','.join(['1'] * 4 + ['0'] * 996)
        chosen = f'train_dataloader.dataset.class_counts={counts}'
        return with_options(f'{command} --no-validate', [*SMALL_RESNET, chosen])
    if 'cifar' in command:
        balanced = 'train_dataloader.dataset.imbalance_factor=1'
        return with_options(command, [*CIFAR, balanced])
    if command == WHOLE:
        # Whole: its checkpoints and figures serve other commands.
        return command
    if re.search(r'(_|ghm )train\b|tools/train\.py', command):
        return with_options(command, SHORT)
    return command


def is_python(command):
    return re.match(r'(\w+=\S+ )*(python |mmghm (?!doctor|--help))', command)


def write_images(folder, classes, number, size):
    rng = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(number):
            image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / name / f'{i}.png'), image)


@pytest.fixture(scope='module')
def scratch(tmp_path_factory, class_folders):
    """A folder like a clone, with a few images of each dataset."""
    folder = tmp_path_factory.mktemp('clone')
    for name in ('configs', 'tools', 'examples', 'study', 'zoo'):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / '.pre-commit-config.yaml', folder)
    subprocess.run(['git', 'init', '-q'], cwd=folder, check=True)
    shutil.copytree(class_folders, folder / 'photos')
    (folder / 'my_photos').symlink_to(folder / 'photos')
    (folder / 'tables').mkdir()
    (folder / 'tables/images').symlink_to(class_folders / 'train')
    with open(folder / 'tables/train.csv', 'w', newline='') as file:
        images = (class_folders / 'train').glob('*/*')
        rows = [
            (f'images/{p.parent.name}/{p.name}', p.parent.name) for p in images
        ]
        csv.writer(file).writerows([('path', 'label'), *sorted(rows)])
    for classes in (10, 100):
        names = [f'class{i:02}' for i in range(classes)]
        for split in ('train', 'test'):
            place = folder / f'cifar{classes}' / split
            write_images(place, names, 2, 32)
    names = [f'n{i:08}' for i in range(1000)]
    write_images(folder / 'data/imagenet/train', names, 1, 8)
    write_official_sets(folder / 'data')
    vit = MODELS.build(
        dict(type='VisionTransformer', arch='deit-tiny', img_size=224)
    )
    state = {f'backbone.{k}': v for k, v in vit.state_dict().items()}
    torch.save(dict(state_dict=state), folder / 'vit.pth')
    return folder


def write_official_sets(data):
    """TinyImageNet, lists of Liu et al. and iNaturalist 2018, a few images."""
    wnids = [f'n{i:08}' for i in range(200)]
    tiny = data / 'tiny-imagenet-200'
    write_images(tiny / 'made', wnids, 1, 64)
    for wnid in wnids:
        (tiny / 'train' / wnid).mkdir(parents=True)
        (tiny / 'made' / wnid).rename(tiny / 'train' / wnid / 'images')
        image = tiny / 'train' / wnid / 'images/0.png'
        image.rename(image.with_suffix('.JPEG'))
    (tiny / 'wnids.txt').write_text('\n'.join(wnids))
    lines = ''.join(f'train/n{i:08}/0.png {i}\n' for i in range(4))
    (data / 'imagenet/ImageNet_LT_train.txt').write_text(lines)
    places = data / 'places365_standard'
    write_images(places / 'train', ['airfield'], 4, 32)
    lines = ''.join(f'train/airfield/{i}.png 0\n' for i in range(4))
    (places / 'Places_LT_train.txt').write_text(lines)
    write_images(data / 'inat2018/train_val2018/Aves', ['3'], 4, 32)
    images = [
        dict(id=i, file_name=f'train_val2018/Aves/3/{i}.png') for i in range(4)
    ]
    content = dict(
        images=images,
        categories=[dict(id=i, name=str(i)) for i in range(8142)],
        annotations=[dict(image_id=i, category_id=3) for i in range(4)],
    )
    (data / 'inat2018/train2018.json').write_text(json.dumps(content))


@pytest.fixture
def environment(scratch):
    return dict(
        os.environ,
        CIFAR10_FOLDER=str(scratch / 'cifar10'),
        CIFAR100_FOLDER=str(scratch / 'cifar100'),
        PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        PYTHONWARNINGS='ignore',
        MPLBACKEND='agg',
    )


def call(command, folder, env, **kwargs):
    done = subprocess.run(
        command,
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
        **kwargs,
    )
    assert done.returncode == 0, f'{command}: {done.stdout[-3000:]}'
    return done.stdout


# In the pages' order: some use what others have made.
OTHER_LOSSES = list(filter(differs_in_its_loss_alone, COMMANDS))
REHEARSED = dict.fromkeys(
    rehearsal(c) for c in COMMANDS if c not in OTHER_LOSSES
)
REHEARSED = list(filter(None, REHEARSED))


def test_the_pages_python_commands(scratch, environment, cifar10_folder):
    # Counting a table's images takes all of them.
    counting = f'CIFAR10_FOLDER={cifar10_folder} '
    chosen = [
        counting + c if 'reproduce.py' in c else c
        for c in REHEARSED
        if is_python(c)
    ]
    assert len(chosen) > 20
    helper = [sys.executable, str(ROOT / 'tests/run_tools.py')]
    output = call(helper, scratch, environment, input=json.dumps(chosen))
    assert 'failed: []' in output


def test_the_pages_of_other_losses_name_configs():
    """test_configs.py takes a step with each of their losses."""
    for command in OTHER_LOSSES:
        name = re.fullmatch(r'python tools/train\.py (\S+)', command)
        assert load_config(name[1]).model.head.loss, command


@pytest.mark.parametrize('command', [c for c in REHEARSED if not is_python(c)])
def test_the_pages_other_commands(command, scratch, environment):
    shell = ['bash', '-euo', 'pipefail', '-c', command]
    call(shell, scratch, environment)


def test_the_pages_downloads_are_known():
    """Those of the pages; test_converters.py tries the tool."""
    tool = load_tool('dataset_converters/download.py')
    found = [c.split()[2] for c in COMMANDS if 'download.py' in c]
    assert len(found) >= 4 and set(found) <= set(tool.ARCHIVES)


@pytest.mark.skipif(torch.cuda.is_available(), reason='they would run')
def test_the_pages_benchmarks_wait_for_a_gpu(scratch, environment):
    """Their names are right; test_benchmarks.py runs them on the CPU."""
    found = [c.split() for c in COMMANDS if '--device cuda' in c]
    tool, names = found[0][1], [words[2] for words in found]
    wanted = ['python', tool, *names, '--device', 'cuda', '--out', str(scratch)]
    done = subprocess.run(
        wanted, cwd=scratch, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 2 and 'torch finds no GPU' in done.stderr


def test_the_pages_settings_are_python(tmp_path):
    """Configs in the pages are read by MMEngine, and name what exists."""
    import mmghm  # noqa: F401

    number = 0
    for page in PAGES:
        for block in blocks(page, 'python'):
            compile(block, str(page), 'exec')
            if '_base_' in block and 'mmghm::' in block and 'own' not in block:
                path = tmp_path / f'config{number}.py'
                path.write_text(block)
                assert Config.fromfile(str(path)).model
                number += 1
    assert number


def test_readme_is_one_screen():
    text = re.sub(
        r'<!--.*?-->', '', (ROOT / 'README.md').read_text(), flags=re.S
    )
    words = [word for word in text.split() if re.search(r'\w', word)]
    assert len(words) <= 700, len(words)


def test_the_pages_install_extras_that_exist():
    known = set(metadata('mmghm').get_all('Provides-Extra'))
    for page in PAGES:
        for extras in re.findall(
            r'pip install[^\n`]*\[([\w,]+)\]', page.read_text()
        ):
            assert set(extras.split(',')) <= known, f'{page}: {extras}'


def test_the_three_settings_keep_the_hooks_of_a_base(tmp_path, monkeypatch):
    """README's settings in a project that does not know mmghm."""
    monkeypatch.chdir(tmp_path)
    lines = next(
        b
        for b in blocks(ROOT / 'README.md', 'python')
        if b.startswith('model =')
    )
    page = ROOT / 'docs/existing_project.md'
    assert lines in blocks(page, 'python')
    assert len(ast.parse(lines).body) == 3
    (tmp_path / 'base.py').write_text(
        f'_base_ = {str(ROOT / "configs/_base_/tasks/resnet8_digits_lt.py")!r}\n'
        # The network and the data are ours, the rest is stock.
        "custom_imports = dict(imports=['mmghm.datasets', 'mmghm.models'])\n"
        "loss = dict(type='CrossEntropyLoss')\n"
        'model = dict(head=dict(num_classes=1000, loss=loss))\n'
        'data_preprocessor = dict(num_classes=1000)\n'
        "saves = dict(type='CheckpointHook')\n"
        'default_hooks = dict(_delete_=True, checkpoint=saves)\n'
        "custom_hooks = [dict(type='EMAHook')]\n"
        'train_cfg = dict(max_epochs=1)\nparam_scheduler = None\n'
        "val_evaluator = dict(_delete_=True, type='Accuracy', topk=(1,))\n"
        "test_evaluator = val_evaluator\nwork_dir = 'run'\n"
    )
    (tmp_path / 'mine.py').write_text(f"_base_ = 'base.py'\n{lines}")
    runner = Runner.from_cfg(Config.fromfile('mine.py'))
    runner.train()
    hooks = {type(hook).__name__ for hook in runner.hooks}
    assert {'EMAHook', 'ClassCountsHook', 'AURARebinHook'} <= hooks
    loss = runner.model.head.loss_module
    assert type(loss).__name__ == 'GHMCWAPLoss'
    assert loss.finished_examples.sum() == 482
    assert 'group/macro/top1' in runner.test()


@pytest.mark.parametrize(
    ('page', 'beginning'),
    [
        ('README.md', 'from mmghm.losses'),
        ('docs/outside_openmmlab.md', 'import torch'),
    ],
)
def test_plain_pytorch_runs_as_it_stands(page, beginning):
    found = [
        b for b in blocks(ROOT / page, 'python') if b.startswith(beginning)
    ]
    names = dict(
        model=torch.nn.Linear(4, 3),
        images=torch.randn(8, 4),
        labels=torch.arange(8) % 3,
        epoch=0,
        epochs=1,
    )
    exec(compile(found[0], page, 'exec'), names)
    assert torch.isfinite(names['loss'])
    assert names['loss_fn'].finished_examples.sum() > 0


# Of Python, PyTorch and MMEngine.
HOSTS_MESSAGES = (
    'GHMCWAPLoss is not in the ',
    'x.py not found! It means that incorrect module is defined in ',
)


def test_troubleshooting_quotes_messages_that_exist():
    """Each heading in code is a message; … stands for what varies."""
    messages = list(HOSTS_MESSAGES)
    for path in (ROOT / 'mmghm').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else '…'
                    for part in node.values
                ]
                messages.append(''.join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                messages.append(node.value)
    text = (ROOT / 'docs/troubleshooting.md').read_text()
    headings = re.findall(r'^### `([^`]+)`$', text, re.M)
    assert len(headings) > 15
    for heading in headings:
        parts = [part for part in heading.split('…') if part.strip()]
        assert any(
            all(part in message for part in parts) for message in messages
        ), heading


def test_links_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r'\]\(([^)#\s]+)[^)]*\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page}: {target}'


def test_the_documentation_builds_without_warnings(tmp_path):
    """Also trains in the notebook."""
    command = [sys.executable, '-m', 'sphinx', '-W', '--keep-going', '-q']
    done = subprocess.run(
        [
            *command,
            '-d',
            str(tmp_path / 'cache'),
            'docs',
            str(tmp_path / 'out'),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = (tmp_path / 'out/digits.html').read_text()
    assert 'overall' in notebook and notebook.count('<img') >= 2
    api = (tmp_path / 'out/api/losses.html').read_text()
    assert 'mmghm.losses.GHMCWAPLoss' in api
    commands = (tmp_path / 'out/command_line.html').read_text()
    assert 'work_dirs/METHOD/TASK' in commands and 'mmghm-doctor' in commands


def test_every_help_has_an_example(environment):
    tools = sorted(
        path.relative_to(ROOT)
        for folder in ('tools', 'study')
        for path in (ROOT / folder).rglob('*.py')
        if 'parse_args' in path.read_text()
    )
    calls = [f'python {tool} --help' for tool in tools]
    helper = [sys.executable, str(ROOT / 'tests/run_tools.py')]
    output = call(helper, ROOT, environment, input=json.dumps(calls))
    for tool, text in zip(tools, output.split('=== ')[1:]):
        assert tool.stem in text.partition('Example')[2], tool
