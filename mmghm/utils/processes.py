"""Processes that this one starts."""

import os
import threading
from multiprocessing import parent_process


def end_with_parent() -> None:
    """End this process of multiprocessing when its parent ends, even if killed."""

    def wait() -> None:
        parent_process().join()  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
