"""Counting what runs: floating-point operations, bytes, launches and the memory that is held at most."""

from __future__ import annotations

import weakref
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

HALF = (torch.bfloat16, torch.float16)
# They hand out memory or look at metadata: no kernel runs.
_NO_LAUNCH = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh", "_unsafe_view"}


@dataclass
class Cost:
    """What a piece of work takes.

    Attributes:
        half_flops, full_flops: floating-point operations of matrix products, convolutions and attention in half and in
            full precision.
        moved_bytes: read and written by all kernels together.
        launches: kernels started.
        peak_bytes: of tensors made on the way, at most at once.
    """

    half_flops: float = 0.0
    full_flops: float = 0.0
    moved_bytes: float = 0.0
    launches: int = 0
    peak_bytes: int = 0

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.half_flops + self.full_flops

    def times(self, factor: int) -> Cost:
        """The same work several times over (or taken out); the peak stays."""
        return Cost(
            self.half_flops * factor, self.full_flops * factor, self.moved_bytes * factor, self.launches * factor,
            self.peak_bytes,
        )  # fmt: skip

    def plus(self, other: Cost) -> Cost:
        """Both, one after the other."""
        return Cost(
            self.half_flops + other.half_flops, self.full_flops + other.full_flops,
            self.moved_bytes + other.moved_bytes, self.launches + other.launches,
            max(self.peak_bytes, other.peak_bytes),
        )  # fmt: skip


def total(costs: Iterable[Cost]) -> Cost:
    """All of them, one after the other."""
    found = Cost()
    for cost in costs:
        found = found.plus(cost)
    return found


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
        known = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        result = func(*args, **(kwargs or {}))
        self.started += not func.is_view
        for leaf in tree_leaves(result):
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


class Counting(Allocations):  # type: ignore[no-untyped-call]
    """Counts everything that runs inside; works with tensors of every device, also those without data.

    Attributes:
        operations: how often each kernel was started, by name.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cost = Cost()
        self.operations: Tally[str] = Tally()

    @property
    def cost(self) -> Cost:
        """The counts so far."""
        self._cost.peak_bytes = self.peak
        return self._cost

    def __torch_dispatch__(
        self, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation and count it."""
        options = kwargs or {}
        result = super().__torch_dispatch__(func, types, args, options)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        name = func._schema.name.removeprefix("aten::")
        if func.is_view or name in _NO_LAUNCH or not made:
            return result
        given = [leaf for leaf in tree_leaves((args, options)) if isinstance(leaf, Tensor)]
        if name == "detach" or (name == "_to_copy" and given and given[0].device != made[0].device):
            return result  # the device's own work is meant, not what is brought there
        self.operations[name] += 1
        self._cost.launches += 1
        self._cost.moved_bytes += sum(_bytes(tensor) for tensor in (*given, *made))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            flops = formula(*args, **options, out_val=result)
            if given[0].dtype in HALF:
                self._cost.half_flops += flops
            else:
                self._cost.full_flops += flops
        return result


class FusedKernels(TorchFunctionMode):
    """While inside, attention and RMS norm of tensors without data are one kernel each, as on a GPU.

    Torch itself would write both out in many steps.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace ``scaled_dot_product_attention`` without a mask and ``rms_norm``."""
        options = kwargs or {}
        if func is functional.scaled_dot_product_attention and args[0].is_meta and len(args) == 3:
            if set(options) <= {"scale"}:
                return torch.ops.aten._scaled_dot_product_flash_attention(*args, **options)[0]
        if func is functional.rms_norm and args[0].is_meta:
            return _one_norm(*args, **options)
        return func(*args, **options)


def _one_norm(values: Tensor, shape: Sequence[int], weight: Tensor | None = None, eps: float | None = None) -> Tensor:
    """CUDA's kernel for ``rms_norm`` cannot be asked for without a GPU; that of layer norm reads and writes as much."""
    return torch.native_layer_norm(values, shape, weight, None, eps or 0.0)[0]


def _bytes(tensor: Tensor) -> int:
    """Bytes of a tensor; of an expanded one those that are there."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


def count(work: Callable[[], object]) -> Cost:
    """What a piece of work costs.

    Raises:
        NotImplementedError, RuntimeError: it looks at values where there are none (``meta`` device).
    """
    counting = Counting()
    with torch.no_grad(), FusedKernels(), counting:
        kept = work()
    del kept
    return counting.cost


def weight_bytes(modules: Iterable[torch.nn.Module]) -> int:
    """Bytes of all weights; those that several modules share count once."""
    found = {
        parameter.untyped_storage()._cdata: parameter.untyped_storage().nbytes()
        for module in modules
        for parameter in module.parameters()
    }
    return sum(found.values())
