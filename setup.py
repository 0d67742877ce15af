"""Packs configs and tools into the package; the rest is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent


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


setup(cmdclass={'build_py': BuildWithConfigs})
