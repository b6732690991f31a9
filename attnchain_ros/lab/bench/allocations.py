"""What a computation costs: bytes alive at once, operations started, floating-point operations.

Works on real tensors and on those of the meta device, which have shapes but no values: a network of the published size
is counted in seconds on any machine.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from ...backbone.layers import attend_with_lse


class Allocations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While inside, counts the storages that operations make.

    Attributes:
        live: bytes of them that are in use.   peak: the most so far.   started: operations that made or wrote values.
    What existed before counts nothing; neither do temporary arrays inside a kernel.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = self.started = 0
        self._seen: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and look at what it made."""
        known = {id(leaf.untyped_storage()) for leaf in tree_iter((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        self.started += not func.is_view
        for leaf in tree_iter(result):
            if isinstance(leaf, Tensor):
                storage = leaf.untyped_storage()
                if id(storage) not in known and storage not in self._seen:
                    self._add(storage)
        return result

    def _add(self, storage: Any) -> None:
        size = storage.nbytes()
        self._seen.add(storage)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.live -= size


class FusedKernels(TorchFunctionMode):
    """While inside, attention and RMS norm are one kernel each on the meta device, as on a GPU, and not many steps."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace ``scaled_dot_product_attention`` and ``rms_norm``."""
        if func is F.scaled_dot_product_attention:
            return attend_with_lse(*args[:3]).out
        if func is F.rms_norm and args[0].device.type == "meta":
            return torch.empty(args[0].shape, dtype=args[0].dtype, device="meta")
        return func(*args, **(kwargs or {}))
