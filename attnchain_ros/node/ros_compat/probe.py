"""Does an installed package work here? Tried in a process of its own, which may crash without harm."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from dataclasses import dataclass

# Generous: importing cv2 from a cold disk takes seconds.
_LIMIT_S = 60.0


@dataclass(frozen=True)
class Fault:
    """Why a package cannot be used: ``missing`` when it is not installed at all."""

    reason: str
    missing: bool


def find_fault(package: str, attempt: str) -> Fault | None:
    """Run a few lines that use a package.

    Args:
        package: import name; when Python finds none of that name nothing is run.
        attempt: Python source that must end without an exception.
    Returns:
        None when the package works, else what is wrong with it in one line.
    """
    if importlib.util.find_spec(package) is None:
        return Fault(f"{package} is not installed", missing=True)
    command = [sys.executable, "-c", attempt]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Fault(f"{package} did not finish a tiny round trip in {_LIMIT_S:.0f} s", missing=False)
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return Fault(f"{package} crashes ({name}), most likely built for another numpy", missing=False)
    lines = done.stderr.strip().splitlines()
    return Fault(f"{package} fails a tiny round trip: {lines[-1] if lines else 'no message'}", missing=False)
