"""Where the host waits for the device: each such place empties the device's queue, and the next kernels come late."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

PACKAGE = __name__.partition(".")[0]
_ALWAYS = {
    "__bool__", "__float__", "__index__", "__int__", "argwhere", "cpu", "equal", "item", "masked_select", "nonzero",
    "numpy", "tolist", "unique", "unique_consecutive",
}  # fmt: skip
_MOVING = {"as_tensor", "cuda", "tensor", "to"}
_INDEXING = {"__getitem__", "__setitem__"}


class Waits(TorchFunctionMode):
    """While inside, notes every place of this package at which the host waits for the device.

    On CUDA torch itself tells (``set_sync_debug_mode``). Elsewhere it is every call that would wait there: whatever
    looks at values, whatever makes an array whose size depends on them, and whatever goes to a given device, even where
    that is the one it is on. Waiting by name (``torch.cuda.synchronize``, in ``rollout.watch`` alone) is not counted.

    Args:
        device: that computes.
    Attributes:
        places: how often the host waited, by ``folder.module.function``.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.places: Counter[str] = Counter()
        self._cuda = device.type == "cuda"
        self._mode = 0
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> Waits:
        """Begin to listen."""
        if self._cuda:
            self._mode = torch.cuda.get_sync_debug_mode()
            self._warnings.__enter__()
            warnings.simplefilter("always")
            warnings.showwarning = self._hear
            torch.cuda.set_sync_debug_mode("warn")
        else:
            super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put everything back."""
        if not self._cuda:
            super().__exit__(kind, error, trace)  # type: ignore[no-untyped-call]
            return
        torch.cuda.set_sync_debug_mode(self._mode)
        self._warnings.__exit__(kind, error, trace)

    def _hear(self, message: Warning | str, *rest: object, **more: object) -> None:
        """In the place of ``warnings.showwarning``."""
        if "synchronizing CUDA operation" in str(message):
            self._note()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at a call, and do it."""
        options = kwargs or {}
        if waits(getattr(func, "__name__", ""), args, options):
            self._note()
        return func(*args, **options)

    def _note(self) -> None:
        frame: FrameType | None = sys._getframe(1)
        while frame is not None:
            module = frame.f_globals.get("__name__", "")
            if module.startswith(PACKAGE + ".") and module != __name__:
                function = frame.f_code.co_qualname if hasattr(frame.f_code, "co_qualname") else frame.f_code.co_name
                self.places[f"{module.partition('.')[2]}.{function.partition('.<locals>')[0]}"] += 1
                return
            frame = frame.f_back
        self.places["elsewhere"] += 1


def waits(name: str, args: tuple[Any, ...], options: dict[str, Any]) -> bool:
    """Whether a call of torch's would wait for a GPU.

    Args:
        name: of the function or method.
        args, options: that it is called with.
    """
    if name in _ALWAYS:
        return True
    if name in _MOVING:
        return "device" in options or any(isinstance(one, (torch.device, str, Tensor)) for one in args[1:])
    if name in _INDEXING:
        chosen = args[1] if isinstance(args[1], tuple) else (args[1],)
        masked = any(isinstance(one, Tensor) and one.dtype in (torch.bool, torch.uint8) for one in chosen)
        # One value under a mask is written without asking how many places there are.
        return masked and not (name == "__setitem__" and not isinstance(args[2], Tensor))
    if name == "where":
        return len(args) + len(options) == 1
    return name == "repeat_interleave" and any(isinstance(one, Tensor) for one in (*args[1:], *options.values()))
