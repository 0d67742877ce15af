"""``python -m mmghm``."""

import sys

from mmghm.cli import main

if __name__ == '__main__':
    sys.exit(main())
