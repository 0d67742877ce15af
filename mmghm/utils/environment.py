"""What a result was measured with."""

import platform
from pathlib import Path
from typing import Dict

import torch

from .dependencies import version_of

PACKAGES = ('mmghm', 'torch', 'torchvision', 'mmengine', 'mmpretrain', 'numpy')


def package_versions() -> Dict[str, str]:
    """Versions of the packages that decide a result, by name."""
    return {name: version_of(name) for name in PACKAGES}


def hardware() -> str:
    """Name the GPU that a run uses, or the CPU with its number of threads."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [
        line.partition(':')[2].strip()
        for line in Path('/proc/cpuinfo').read_text().splitlines()
        if line.startswith('model name')
    ] or [platform.processor()]
    threads = torch.get_num_threads()
    return f'{names[0]}, {threads} thread' + 's' * (threads > 1)
