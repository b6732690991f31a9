"""Worker processes of long runs."""

from __future__ import annotations

import os
import threading
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess


def end_with_parent() -> None:
    """Let this process end as soon as the process that started it is gone; without a parent process, do nothing.

    A parent that is killed cannot stop its workers: those of a pool would finish their task and then wait for another
    one forever, with all their memory.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), name="end-with-parent", daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    # Nobody is left to take the task's result, and an orderly exit would wait for the task.
    os._exit(1)
