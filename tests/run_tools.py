"""Run commands one after the other in one process, which imports torch once.

Reads a JSON list of commands such as ``A=b python tools/train.py CONFIG`` or
``mmghm doctor`` from the standard input.
"""

import json
import os
import runpy
import shlex
import sys
import time
import traceback

from mmengine.logging import MessageHub, MMLogger
from mmengine.visualization import Visualizer


def run(command):
    words = shlex.split(command)
    before = dict(os.environ)
    while '=' in words[0]:
        name, _, value = words.pop(0).partition('=')
        os.environ[name] = value
    if words[0] == 'mmghm':
        words[:1] = ['python', '-m', 'mmghm']
    assert words.pop(0) == 'python', command
    for cls in (MessageHub, MMLogger, Visualizer):
        cls._instance_dict.clear()
    path = list(sys.path)
    try:
        if words[0] == '-m':
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name='__main__', alter_sys=True)
        else:
            sys.argv = words
            # As for a script.
            sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
            runpy.run_path(words[0], run_name='__main__')
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(before)


failed = []
for command in json.load(sys.stdin):
    print(f'=== {command[:200]}', flush=True)
    began = time.time()
    try:
        run(command)
    except (Exception, SystemExit) as error:
        if not (isinstance(error, SystemExit) and not error.code):
            traceback.print_exc()
            failed.append(command)
    print(f'{time.time() - began:.0f} s', flush=True)
print('failed:', failed)
sys.exit(bool(failed))
