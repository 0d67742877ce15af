"""What a person sees of a run: less than the log file holds."""

import logging
import re
import sys
import warnings
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import IterBasedTrainLoop, Runner
from rich.console import Console
from rich.file_proxy import FileProxy
from rich.progress import (
    BarColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmghm.utils.errors import UserError, settings_errors

# Beginnings of what MMEngine logs before the first epoch, and with each line.
_FOR_THE_FILE = (
    '\n' + '-' * 60 + '\nSystem environment:',
    'Config:\n',
    'Hooks will be executed in the following order:',
    'Distributed training is not used, all SyncBatchNorm',
    '"FileClient" will be deprecated in future.',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    'Exp name: ',
)


def shorten(text: str) -> str:
    """Make a line of a validation or test readable without scrolling.

    Of those it keeps overall, macro and worst-class accuracy and the groups of
    the first rule, in percent; other lines stay as they are.
    """
    match = re.match(r'(.*(?:Epoch|Iter)\((?:val|test)\) [^ ]*) +(.*)', text)
    if not match or 'group/' not in match[2]:
        return text
    shown, first = [], ''
    part = r'([^\s/]+)'
    figure = rf'(?<!\S)group/(?:{part}/)?{part}/{part}: (\S+)'
    for rule, name, kind, value in re.findall(figure, match[2]):
        first = first or rule
        if rule in ('', first):
            words = [name.replace('_', ' ')] + [kind] * (kind != 'top1')
            shown.append(f'{" ".join(words)} {float(value):.1f}')
    return f'{match[1]}  {"  ".join(shown)}'


class ConsoleFormatter(logging.Formatter):
    """MMEngine's format, with lines by :func:`shorten`."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        return shorten(self.inner.format(record))


def _is_for_people(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_FOR_THE_FILE)


class ConciseRunner(Runner):
    """MMEngine's runner; the console shows what a person reads.

    The log file in the work dir has everything. What a class refuses while it
    is built from the config is a user's mistake.
    """

    build_dataloader = staticmethod(
        settings_errors('dataloader')(Runner.build_dataloader)
    )
    build_evaluator = settings_errors('evaluator')(Runner.build_evaluator)
    build_optim_wrapper = settings_errors('optim_wrapper')(
        Runner.build_optim_wrapper
    )
    build_param_scheduler = settings_errors('param_scheduler')(
        Runner.build_param_scheduler
    )
    build_train_loop = settings_errors('train_cfg')(Runner.build_train_loop)
    build_val_loop = settings_errors('val_cfg')(Runner.build_val_loop)
    build_test_loop = settings_errors('test_cfg')(Runner.build_test_loop)

    def setup_env(self, env_cfg: Dict) -> None:
        """Set up the environment, also in a process of a forkserver."""
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', 'Multi-processing start method')
            super().setup_env(env_cfg)

    def scale_lr(
        self, optim_wrapper: Any, auto_scale_lr: Optional[Dict] = None
    ) -> None:
        """Scale the learning rate by the images of a step of the optimizer."""
        batches = getattr(optim_wrapper, '_accumulative_counts', 1)
        if auto_scale_lr and auto_scale_lr.get('base_batch_size'):
            base = auto_scale_lr['base_batch_size'] / batches
            auto_scale_lr = dict(auto_scale_lr, base_batch_size=base)
        super().scale_lr(optim_wrapper, auto_scale_lr)

    def resume(self, filename: str, *args: Any, **kwargs: Any) -> None:
        """Go on with a training."""
        try:
            super().resume(filename, *args, **kwargs)
        except KeyError as error:
            raise UserError(
                f'{filename} has no {error.args[0]}, so that no training can go on '
                'from it; to begin with its weights, set load_from'
            ) from error

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the logger."""
        logger = super().build_logger(*args, **kwargs)
        for handler in _console_handlers(logger):
            if not isinstance(handler.formatter, ConsoleFormatter):
                handler.addFilter(_is_for_people)
                assert handler.formatter is not None, 'MMEngine sets one'
                handler.setFormatter(ConsoleFormatter(handler.formatter))
        return logger


def _console_handlers(logger: logging.Logger) -> Iterator[Any]:
    for handler in logger.handlers:
        # A FileHandler is a StreamHandler too.
        if type(handler) is logging.StreamHandler:
            yield handler


class _ProgressHook(Hook):
    """Move the bar by each iteration."""

    priority = 'VERY_LOW'

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def before_train(self, runner: Any) -> None:
        self.bar = self.progress.add_task(
            '', total=runner.max_iters, completed=runner.iter
        )
        # What is logged goes above the bar.
        for handler in _console_handlers(runner.logger):
            if not isinstance(handler.stream, FileProxy):
                handler.setStream(
                    FileProxy(self.progress.console, handler.stream)
                )
        self.progress.start()

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Optional[dict] = None,
    ) -> None:
        done = runner.iter + 1
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            place = f'iteration {done}/{runner.max_iters}'
        else:
            place = f'epoch {runner.epoch + 1}/{runner.max_epochs}'
        self.progress.update(self.bar, completed=done, description=place)


@contextmanager
def progress_bar(runner: Any) -> Iterator[None]:
    """Show a bar with the time left while a runner trains, in a terminal."""
    if not (sys.stdout.isatty() and is_main_process()):
        yield
        return
    progress = Progress(
        TextColumn('{task.description}'),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn('left'),
        TimeRemainingColumn(),
        console=Console(file=sys.stdout),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    runner.register_hook(_ProgressHook(progress))
    try:
        yield
    finally:
        progress.stop()
        for handler in _console_handlers(runner.logger):
            if isinstance(handler.stream, FileProxy):
                handler.setStream(handler.stream.rich_proxied_file)
