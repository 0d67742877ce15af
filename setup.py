"""Packaging of mmghm."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list:
    """Read a requirements file, without its comments.

    Args:
        name (str): File name under requirements/, without the ending.

    Returns:
        list: One requirement each.
    """
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


version: dict = {}
exec((ROOT / 'mmghm' / 'version.py').read_text(), version)

setup(
    name='mmghm',
    version=version['__version__'],
    description='Long-tailed image classification for OpenMMLab: GHM-CWAP, '
    'its baselines, datasets and metrics',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['mmghm', 'mmghm.*']),
    include_package_data=True,
    python_requires='>=3.9',
    install_requires=requirements('runtime'),
    extras_require={
        'lite': requirements('lite'),
        'slurm': ['submitit'],
        'tests': requirements('tests'),
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
