#!/usr/bin/env python
"""``mmghm train`` where users of OpenMMLab look for it."""

import sys

from mmghm.cli import main

if __name__ == '__main__':
    sys.exit(main(['train', *sys.argv[1:]]))
