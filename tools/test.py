#!/usr/bin/env python
"""``mmghm test`` where users of OpenMMLab look for it."""

import sys

from mmghm.cli import main

if __name__ == '__main__':
    sys.exit(main(['test', *sys.argv[1:]]))
