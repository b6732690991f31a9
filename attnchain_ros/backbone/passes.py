"""How a flow transformer's passes are computed: compiled or not, halves of guidance together or apart, and by which
kernel of attention. What a device or a compiler refuses is said once, and computed the plain way."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..config import KernelConfig
from ..notes import Note
from .layers import Attend, attend, use_attention
from .transformer import ContextKeys, FlowTransformer, KeysOnDemand, Probe

logger = logging.getLogger(__name__)

KERNELS = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "math": SDPBackend.MATH,
}
"""Ways to compute fused attention, by the names of ``KernelConfig.attention``."""

MEASURED = ("flash", "efficient", "cudnn")
"""Those that 'auto' measures on a GPU: the other writes the map out."""

Probes = tuple[Probe | None, Probe | None]


class Passes:
    """Calls a network; the plain way unless it is told otherwise.

    Args:
        config: options; None = the plain way.
        together: asked before every guided step: both halves in one batch.
        backend: of ``torch.compile``.
    Attributes:
        refused: compiled passes that failed so far; after the first all are computed the plain way.
    """

    def __init__(
        self,
        config: KernelConfig | None = None,
        together: Callable[[], bool] = lambda: False,
        backend: str = "inductor",
    ) -> None:
        self._way = "off" if config is None else config.compile
        self._together = together
        self._backend = backend
        self._compiled: dict[tuple[int, str], Callable[..., Any]] = {}
        self._notes: list[Note] = []
        self.refused = 0

    def one(
        self,
        network: FlowTransformer,
        latents: Tensor,
        time: Tensor,
        keys: ContextKeys | None,
        steps: Tensor | None,
        probe: Probe | None,
    ) -> Tensor:
        """As ``FlowTransformer.forward``."""
        found: Tensor = self._call(network, "forward", (latents, time, keys, steps, probe), probe is None)
        return found

    def guided(
        self,
        network: FlowTransformer,
        latents: Tensor,
        time: Tensor,
        keys: ContextKeys,
        steps: Tensor | None,
        probes: Probes,
    ) -> tuple[Tensor, Tensor]:
        """As ``FlowTransformer.guided``."""
        plain = probes == (None, None)
        options = {"together": self._together()}
        found: tuple[Tensor, Tensor] = self._call(
            network, "guided", (latents, time, keys, steps, probes), plain, options
        )
        return found

    def tell(self, code: str, text: str) -> None:
        """Something that the user should know; handed out once."""
        logger.warning(text)
        self._notes.append(Note(code, text))

    def take_notes(self) -> tuple[Note, ...]:
        """What was told since the last time."""
        notes, self._notes = tuple(self._notes), []
        return notes

    def _call(
        self,
        network: FlowTransformer,
        name: str,
        arguments: tuple[Any, ...],
        plain: bool,
        options: dict[str, Any] | None = None,
    ) -> Any:
        method = getattr(network, name)
        # Probes look at every layer, and keys on demand are no tensors: neither can be compiled.
        if self._way == "off" or not plain or isinstance(arguments[2], KeysOnDemand):
            return method(*arguments, **(options or {}))
        try:
            return self._copied(self._made(network, name)(*arguments, **(options or {})))
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a compiler has to say against it
            self.refused += 1
            self._way = "off"
            self._compiled.clear()
            reason = str(error).strip().splitlines()
            self.tell(
                "compile_refused",
                f"kernels.compile: {type(error).__name__}: {reason[0][:200] if reason else ''}; passes are computed "
                "without it",
            )
        return method(*arguments, **(options or {}))

    def _made(self, network: FlowTransformer, name: str) -> Callable[..., Any]:
        key = id(network), name
        if key not in self._compiled:
            mode = "reduce-overhead" if self._way == "graphs" and self._backend == "inductor" else None
            self._compiled[key] = torch.compile(getattr(network, name), backend=self._backend, mode=mode)
        if self._way == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return self._compiled[key]

    def _copied(self, found: Any) -> Any:
        """Graphs write every result to the same place: what is kept beyond the next pass is copied."""
        if self._way != "graphs":
            return found
        return found.clone() if isinstance(found, Tensor) else tuple(one.clone() for one in found)


def use_kernels(networks: list[nn.Module], config: KernelConfig, probe: Tensor, passes: Passes) -> str:
    """Let the attention of networks be computed as the options say; on a GPU 'auto' is the fastest, measured here.

    Args:
        networks: whose attention it is.
        config: options.
        probe: [B, H, S, D] in the device and dtype that will be used, as large as the attention that counts.
        passes: is told what is refused.
    Returns:
        the kernel's name; 'auto' where torch chooses.
    """
    chosen = config.attention
    if chosen == "auto":
        if probe.device.type != "cuda":
            return "auto"
        times = {name: _seconds(attend_by(name), probe) for name in MEASURED}
        works = {name: seconds for name, seconds in times.items() if isinstance(seconds, float)}
        logger.info("attention: %s", ", ".join(f"{name} {1e3 * seconds:.2f} ms" for name, seconds in works.items()))
        if not works:
            return "auto"
        chosen = min(works, key=lambda name: works[name])
    else:
        refusal = _seconds(attend_by(chosen), probe[:, :, :64], laps=1)
        if isinstance(refusal, Exception):
            passes.tell(
                "attention_refused",
                f"kernels.attention is {chosen!r}, which does not work here ({str(refusal).splitlines()[0][:120]}): "
                "torch chooses",
            )
            return "auto"
    for network in networks:
        use_attention(network, attend_by(chosen))
    return chosen


def attend_by(name: str) -> Attend:
    """``layers.attend`` by one of ``KERNELS``."""
    kernel = KERNELS[name]

    def way(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with sdpa_kernel(kernel):
            return attend(q, k, v)

    return way


def _seconds(way: Attend, probe: Tensor, laps: int = 3) -> float | Exception:
    """The least of some laps after one that warms up, or why it does not work."""

    def wait() -> None:
        if probe.device.type == "cuda":
            torch.cuda.synchronize(probe.device)

    best = float("inf")
    try:
        for _ in range(laps + 1):
            wait()
            started = time.perf_counter()
            way(probe, probe, probe)
            wait()
            best = min(best, time.perf_counter() - started)
    except RuntimeError as error:
        return error
    return best
