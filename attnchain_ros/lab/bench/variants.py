"""Other ways to compute one pass of Stage I: kernels of fused attention, and torch.compile."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from ...backbone import Backbone
from .twins import one_pass

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "memory-efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cuDNN": SDPBackend.CUDNN_ATTENTION,
    "written out": SDPBackend.MATH,
}


def pass_variants(backbone: Backbone, repeats: int, compiled: bool = True) -> dict[str, tuple[float, str]]:
    """Seconds of one pass in every way that works here, or NaN and why it does not.

    Args:
        backbone: on the CPU or a GPU.
        repeats: laps, of which the shortest counts.
        compiled: also try torch.compile (minutes at published size).
    """
    work = one_pass(backbone)
    found = {"as it is": _try(work, nullcontext(), repeats, backbone.device)}
    for name, kernel in KERNELS.items():
        found[f"attention: {name}"] = _try(work, sdpa_kernel(kernel), repeats, backbone.device)
    if compiled:
        network = backbone.stage_one
        plain = network.forward
        try:
            network.forward = torch.compile(plain)  # type: ignore[method-assign]
            found["torch.compile"] = _try(work, nullcontext(), repeats, backbone.device)
        finally:
            network.forward = plain  # type: ignore[method-assign]
    return found


def _try(
    work: Callable[[], object], around: AbstractContextManager[object], repeats: int, device: torch.device
) -> tuple[float, str]:
    laps = []
    try:
        with torch.no_grad(), around:
            for _ in range(repeats + 1):
                started = time.perf_counter()
                work()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                laps.append(time.perf_counter() - started)
    except Exception as error:  # whatever a kernel or a compiler has to say against it
        if device.type == "cuda":
            torch.cuda.empty_cache()
        return float("nan"), f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"
    return min(laps[1:]), ""
