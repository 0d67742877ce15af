import importlib.util
import io
import os
import runpy
import sys
import threading
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from http.server import ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.utils import ManagerMixin

from mmghm.cli import main

if 'PYTEST_XDIST_WORKER' in os.environ:
    # Workers stand beside each other: a core for each, and what it starts.
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    torch.set_num_threads(1)

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
# Real CIFAR-10 images, long-tailed at imbalance factor 10, as class folders.
CIFAR10_ARCHIVE = ROOT.parent / 'shared' / 'data' / 'cifar10_lt10.tar.xz'


def load_tool(path):
    """Import a program of tools/."""
    spec = importlib.util.spec_from_file_location('tool', ROOT / 'tools' / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def forget_runs(kind=ManagerMixin):
    """Forget the loggers, visualizers and scopes of other runs."""
    kind._instance_dict.clear()
    for part in kind.__subclasses__():
        forget_runs(part)


def run_here(function, cwd):
    """Call a command here; gives its exit status and what it printed."""
    forget_runs()
    printed, before = io.StringIO(), os.getcwd()
    os.chdir(cwd)
    try:
        with (
            # Launching sets LOCAL_RANK, which others take for a job's.
            mock.patch.dict(os.environ),
            redirect_stdout(printed),
            redirect_stderr(printed),
        ):
            status = function()
    except SystemExit as end:
        status = end.code
    finally:
        os.chdir(before)
    return status or 0, printed.getvalue()


def run_command(*arguments, cwd):
    """Run a command of mmghm."""
    return run_here(lambda: main(list(map(str, arguments))), cwd)


def run_program(path, *arguments, cwd='.'):
    """Run a program of tools/ or study/, a path from the root."""
    file = str(ROOT / path)

    def run():
        with mock.patch.object(sys, 'argv', [file, *map(str, arguments)]):
            runpy.run_path(file, run_name='__main__')

    return run_here(run, cwd)


@pytest.fixture
def serve():
    """Start an HTTP server with a handler; gives its address."""
    with ExitStack() as servers:

        def start(handler):
            http = ThreadingHTTPServer(('127.0.0.1', 0), handler)
            servers.enter_context(http)
            servers.callback(http.shutdown)
            threading.Thread(target=http.serve_forever, daemon=True).start()
            return f'http://127.0.0.1:{http.server_port}'

        yield start


@pytest.fixture(autouse=True, scope='session')
def no_cache_of_the_user(tmp_path_factory):
    """Features that tests keep are not the user's."""
    os.environ['MMGHM_CACHE'] = str(tmp_path_factory.mktemp('cache'))


@pytest.fixture(autouse=True)
def fresh_run():
    """Each test starts without another run's log, class counts and epochs."""
    forget_runs()


@pytest.fixture
def digits_cfg(tmp_path):
    """Make the config of a short GHM-CWAP run on digits."""

    def make(max_epochs=3, config='ghm_cwap/resnet8_digits_lt.py', **options):
        cfg = Config.fromfile(str(CONFIGS / config))
        cfg.work_dir = str(tmp_path / 'run')
        cfg.train_cfg.max_epochs = max_epochs
        cfg.train_cfg.val_interval = max_epochs
        cfg.visualizer = dict(type='Visualizer')
        cfg.default_hooks.logger.interval = 1
        cfg.experiment_name = f'{tmp_path.name}_{os.urandom(4).hex()}'
        cfg.merge_from_dict(options)
        return cfg

    return make


@pytest.fixture(scope='session')
def cifar10_folder(tmp_path_factory):
    """Class folders with the real CIFAR-10 images at hand."""
    if 'CIFAR10_FOLDER' in os.environ:
        return Path(os.environ['CIFAR10_FOLDER'])
    if not CIFAR10_ARCHIVE.exists():
        pytest.skip(
            'no real CIFAR-10 images: set CIFAR10_FOLDER to a folder '
            'with train/<class>/* and test/<class>/*'
        )
    import tarfile

    folder = tmp_path_factory.mktemp('data')
    with tarfile.open(CIFAR10_ARCHIVE) as archive:
        archive.extractall(folder, filter='data')
    return folder / 'cifar10'


@pytest.fixture(scope='session')
def class_folders(tmp_path_factory):
    """Images of noise in train/<class>/ and test/<class>/, long-tailed."""
    import cv2

    folder = tmp_path_factory.mktemp('photos')
    rng = np.random.default_rng(0)
    for split, most in (('train', 16), ('test', 2)):
        for label in range(10):
            place = folder / split / f'digit{label}'
            place.mkdir(parents=True)
            for number in range(max(most >> (label // 2), 1)):
                image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
                cv2.imwrite(str(place / f'{number}.png'), image)
    return folder
