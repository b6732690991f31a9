"""The order in which things are looked at; one that breaks down does not keep the others from being told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import AttnChainError
from ..stream.source import FrameSource
from . import machine, ros, trial, weights
from .findings import Finding, State
from .topics import Wanted


@dataclass(frozen=True)
class Options:
    """What to look at.

    Attributes:
        weights: checkpoint folder; None = the package's small one.
        device, dtype: to compute with, as everywhere.
        clip: makes the clip whose first window is computed; None = no window.
        wanted: the topics that the node would read.
        listen_s: how long to wait for others in the ROS graph; 0 = ROS is not started.
    """

    weights: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    clip: Callable[[], FrameSource] | None = None
    wanted: Wanted = field(default_factory=Wanted)
    listen_s: float = 2.0


Check = tuple[str, Callable[[], Iterable[Finding]]]


def examine(options: Options) -> Iterator[Finding]:
    """Look at everything, one finding after another as it is made."""
    clip = options.clip
    checks: list[Check] = [
        ("python", lambda: [machine.look_at_python()]),
        ("packages", lambda: [machine.look_at_packages()]),
        ("torch", lambda: [machine.look_at_torch()]),
        ("device", lambda: [machine.look_at_device(options.device)]),
        ("memory", lambda: [machine.look_at_memory()]),
        ("threads", lambda: [machine.look_at_threads()]),
        ("opencv", lambda: [machine.look_at_opencv()]),
        ("weights", lambda: [weights.look_at_weights(options.weights, options.device, options.dtype)]),
    ]
    if clip is not None:
        checks.append(("window", lambda: [trial.try_window(clip(), options.device, options.dtype)]))
    checks.append(("ros", lambda: ros.look_at_ros(options.wanted, options.listen_s)))
    for name, check in checks:
        yield from guarded(name, check)


def guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; what it raises is one, too.

    Args:
        name: of the finding where it raises.
        check: looks at something.
    """
    try:
        yield from check()
    except AttnChainError as error:
        yield Finding(name, State.FAIL, str(error), "see above; docs/troubleshooting.md has the messages by text")
    # A broken library raises whatever it likes, and to tell of it is what this is for.
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        yield Finding(name, State.FAIL, text, "install the packages again (scripts/setup --force), or report this text")
