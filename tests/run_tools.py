"""Call tools one after the other in one process, which imports torch once.

Reads a JSON list of argument lists from the standard input.
"""

import json
import runpy
import sys
import traceback

from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer

failed = []
for arguments in json.load(sys.stdin):
    for cls in (MessageHub, MMLogger, Visualizer):
        cls._instance_dict.clear()
    sys.argv = arguments
    try:
        runpy.run_path(arguments[0], run_name='__main__')
    except (Exception, SystemExit) as error:
        if not (isinstance(error, SystemExit) and not error.code):
            traceback.print_exc()
            failed.append(' '.join(arguments))
print('failed:', failed)
sys.exit(bool(failed))
