"""Worker processes do not outlive the run that started them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from attnchain_ros.workers import end_with_parent

# The worker is at a long task when its parent is killed; it inherits the pipe that the parent prints to.
PARENT = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from attnchain_ros.workers import end_with_parent

if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=end_with_parent)
    pool.submit(os.getpid).result()
    pool.submit(time.sleep, 600)
    print("working", flush=True)
    time.sleep(600)
"""


def test_a_worker_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        parent.kill()
        # The pipe ends when everybody who could write to it has ended.
        assert parent.communicate(timeout=60)[0] == ""


def test_without_a_parent_nothing_is_watched() -> None:
    end_with_parent()
