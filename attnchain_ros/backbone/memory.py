"""What stands on the device and when: networks that leave while others work, and how large temporary arrays may get.

Three levels. With published weights in bfloat16 Stage 0 alone takes 3 GB and works for the first window only.
    0  every network stays.
    1  Stage 0, and its image encoder where Stage I has another, come for the first mesh and leave after it.
    2  besides, Stage I leaves while Stage 0 works, its image encoder while a window is denoised, and temporary arrays
       are smaller.
Where the device is the CPU nothing can leave it, and only the size of temporary arrays counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

import torch
from torch import Tensor, nn

from ..config import LOW_MEMORY
from ..errors import ConfigError
from .layers import PIECE_BYTES, use_pieces
from .transformer import TransformerSizes

NETWORKS = ("vae", "stage_zero", "stage_one", "encoder_zero", "encoder_one")

FIRST_MESH = frozenset({"stage_zero", "encoder_zero", "vae"})
"""What Stage 0 and the extraction of its mesh need."""

IMAGES = frozenset({"encoder_one"})
"""What the tokens of a window's images need."""

WINDOW = frozenset({"stage_one", "vae"})
"""What denoising a window, the chain and encoding a posed mesh need."""

SMALL_PIECES = PIECE_BYTES // 4
"""Largest temporary array of level 2."""

LEAST_PIECES = 16 << 20
"""Below this, smaller pieces only take longer."""

SPARE = 0.9
"""Share of the device's free memory that is counted on: other programs and fragments take some."""


def residents(level: int, needed: frozenset[str]) -> frozenset[str]:
    """The networks that are on the device while those in ``needed`` work.

    Args:
        level: 0, 1 or 2; see above.
        needed: ``FIRST_MESH``, ``IMAGES`` or ``WINDOW``.
    """
    if level >= 2:
        return needed if needed == FIRST_MESH else WINDOW | needed
    if level == 1 and needed != FIRST_MESH:
        return frozenset(NETWORKS) - {"stage_zero", "encoder_zero"} | needed
    return frozenset(NETWORKS)


class DeviceMemory:
    """Keeps the networks of a backbone on its device, or off it.

    Args:
        networks: by the names of ``NETWORKS``; the same network may stand under two names. Their weights are frozen:
            once copied to the host, they are only ever copied back.
        device: where they compute.
        level: see above.
        together: both halves of guidance are computed in one batch.
    Attributes:
        level: in force.   piece_bytes: the largest temporary array.   together: in force.
    """

    def __init__(
        self, networks: dict[str, nn.Module], device: torch.device, level: int, together: bool = False
    ) -> None:
        self.networks, self.device, self.level, self.together = networks, device, level, together
        self._host: dict[int, list[Tensor]] = {}
        self.piece_bytes = PIECE_BYTES
        if level >= 2:
            self._cut(SMALL_PIECES)

    def bring(self, needed: frozenset[str]) -> None:
        """Let some networks compute, and those leave that must not be here meanwhile."""
        if self.device.type == "cpu":
            return
        here = {id(self.networks[name]) for name in residents(self.level, needed)}
        for network in self._distinct():
            if id(network) not in here:
                self._leave(network)
        wanted = {id(self.networks[name]) for name in needed}
        for network in self._distinct():
            if id(network) in wanted:
                self._enter(network)

    def save(self) -> str | None:
        """Take the next step after the device ran out of memory: what was done, or None if nothing is left to do."""
        if self.together:
            self.together = False
            return "both halves of the guidance are computed one after the other: results differ in rounding at most"
        if self.level < 2 and self.device.type != "cpu":
            self.level = 2
            self._cut(min(self.piece_bytes, SMALL_PIECES))
            return (
                "networks leave the device while they have nothing to do, and temporary arrays are at most "
                f"{self.piece_bytes >> 20} MB: windows take longer, results stay the same"
            )
        if self.piece_bytes > LEAST_PIECES:
            self._cut(max(LEAST_PIECES, self.piece_bytes // 4))
            return (
                f"temporary arrays are at most {self.piece_bytes >> 20} MB: windows take longer, results stay the same"
            )
        return None

    def _cut(self, piece_bytes: int) -> None:
        self.piece_bytes = piece_bytes
        for network in self._distinct():
            use_pieces(network, piece_bytes)

    def _distinct(self) -> Iterable[nn.Module]:
        return {id(network): network for network in self.networks.values()}.values()

    def _leave(self, network: nn.Module) -> None:
        weights = list(tensors_of(network))
        if all(self._is_on(weight, "cpu") for weight in weights):
            return
        if id(network) not in self._host:
            self._host[id(network)] = [weight.data.to("cpu") for weight in weights]
        for weight, copy in zip(weights, self._host[id(network)], strict=True):
            weight.data = copy

    def _enter(self, network: nn.Module) -> None:
        weights = list(tensors_of(network))
        if all(self._is_on(weight, self.device.type) for weight in weights):
            return
        self._host.setdefault(id(network), [weight.data for weight in weights])
        for weight in weights:
            weight.data = self._copied(weight)

    def _is_on(self, weight: Tensor, kind: str) -> bool:
        return weight.device.type == kind

    def _copied(self, weight: Tensor) -> Tensor:
        return weight.data.to(self.device)


def tensors_of(network: nn.Module) -> Iterator[Tensor]:
    """Everything that a network keeps on its device."""
    return chain(network.parameters(), network.buffers())


def weight_bytes(networks: Iterable[nn.Module]) -> int:
    """Bytes of the weights of some networks; one that stands there twice counts once."""
    distinct = {id(network): network for network in networks}
    return sum(w.numel() * w.element_size() for network in distinct.values() for w in tensors_of(network))


def window_bytes(
    sizes: TransformerSizes, patches: int, element: int, piece_bytes: int, keep_keys: bool = True, halves: int = 1
) -> int:
    """About how much Stage I takes at its peak beside its weights: denoising a window while attention is read.

    Args:
        sizes: of Stage I.
        patches: P of an image.
        element: bytes of a number of the network.
        piece_bytes: the largest temporary array.
        keep_keys: the images' keys and values are kept for all steps (below level 2).
        halves: of the guidance that are computed at a time.
    A test compares it with what the networks really allocate at the published size.
    """
    hidden = halves * sizes.frames * (sizes.tokens + 1) * sizes.width * element
    keys = 2 * sizes.layers * sizes.frames * (patches + 1) * sizes.width * element if keep_keys else 0
    maps = 4 * sizes.frames * sizes.tokens * (sizes.tokens + patches)
    # The largest array there could be: four times as wide inside the feed-forward, for both halves of the guidance.
    pieces = 3 * min(piece_bytes, 8 * hidden)
    # Outputs of the lower layers; queries, keys, values joined and split, turned, the output; arrays in pieces.
    return (sizes.layers // 2 + 9) * hidden + keys + maps + pieces


def choose_level(low_memory: str, device: torch.device, free_bytes: int | None, needs: tuple[int, int]) -> int:
    """The level to start with.

    Args:
        low_memory: 'off' is level 0, 'on' level 2, 'auto' level 1 where it fits and level 2 where it does not.
        device: where the networks compute; on the CPU all levels keep everything.
        free_bytes: of the device before anything is loaded; None = unknown.
        needs: bytes that the first mesh and a window take at level 1.
    Raises:
        ConfigError: another word.
    """
    if low_memory not in LOW_MEMORY:
        raise ConfigError(f"low_memory is {low_memory!r}, wanted one of {', '.join(LOW_MEMORY)}")
    if low_memory == "off" or (low_memory == "auto" and device.type == "cpu"):
        return 0
    if low_memory == "on":
        return 2
    return 1 if free_bytes is None or max(needs) <= SPARE * free_bytes else 2
