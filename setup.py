"""Packaging of mmghm."""

import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

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


class BuildWithConfigs(build_py):
    """Pack configs and tools into the package, where OpenMMLab looks.

    mim looks in ``mmghm/.mim``, MMEngine's ``read_base`` in ``mmghm/configs``.
    """

    def run(self) -> None:
        """Build, then copy."""
        super().run()
        base = ROOT if self.editable_mode else Path(self.build_lib)
        self.pack(base / 'mmghm' / '.mim')
        self.write_importable_configs(base / 'mmghm' / 'configs')

    def pack(self, packed: Path) -> None:
        """Copy configs and tools, or link to them if installed editable.

        Args:
            packed (Path): The folder to make.
        """
        shutil.rmtree(packed, ignore_errors=True)
        packed.mkdir(parents=True)
        for name in ('configs', 'tools', 'model-index.yml'):
            if self.editable_mode:
                (packed / name).symlink_to(ROOT / name)
            elif name.endswith('.yml'):
                shutil.copy(ROOT / name, packed)
            else:
                shutil.copytree(
                    ROOT / name,
                    packed / name,
                    ignore=shutil.ignore_patterns('__pycache__'),
                )

    def write_importable_configs(self, folder: Path) -> None:
        """Write a module per config that ``read_base`` can import.

        Args:
            folder (Path): The folder to make.
        """
        shutil.rmtree(folder, ignore_errors=True)
        for path in (ROOT / 'configs').rglob('*.py'):
            name = path.relative_to(ROOT / 'configs')
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            # MMEngine makes import statements lazy, and this call must not be.
            (folder / name).write_text(
                '# Written by setup.py.\n'
                "globals().update(__import__('mmghm.engine.configs', fromlist=['configs'])"
                f".config_variables('{name.as_posix()}'))\n"
            )


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
    entry_points=dict(console_scripts=['mmghm = mmghm.cli:main']),
    cmdclass={'build_py': BuildWithConfigs},
    python_requires='>=3.10',
    install_requires=requirements('runtime'),
    extras_require={
        'lite': requirements('lite'),
        'onedl': requirements('onedl'),
        'deploy': requirements('deploy'),
        'slurm': ['submitit'],
        'docs': requirements('docs'),
        'tests': requirements('tests'),
        'dev': [
            *requirements('deploy'),
            *requirements('tests'),
            *requirements('docs'),
            *requirements('dev'),
        ],
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Programming Language :: Python :: 3',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
