"""How much memory a checkpoint takes on a device, from its headers, and how much the device has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..backbone.layers import PIECE_BYTES
from ..backbone.memory import SMALL_PIECES, window_bytes
from ..backbone.transformer import TransformerSizes


@dataclass(frozen=True)
class Elements:
    """Numbers of each network: the VAE's, Stage 0's, Stage I's, and those of the image encoders, each once."""

    vae: int
    stage_zero: int
    stage_one: int
    encoders: int

    @property
    def together(self) -> int:
        """Numbers of all networks."""
        return self.vae + self.stage_zero + self.stage_one + self.encoders


@dataclass(frozen=True)
class Needs:
    """Bytes at the fullest moment of a first window.

    Attributes:
        usual: by default; on a GPU, Stage 0 leaves after the first mesh.
        least: with ``low_memory``: networks leave the GPU while they have nothing to do. On a CPU nothing can leave.
    """

    usual: int
    least: int


def memory_needed(elements: Elements, sizes: TransformerSizes, patches: int, dtype: torch.dtype, gpu: bool) -> Needs:
    """What a checkpoint takes on a device.

    Args:
        elements: of the networks.
        sizes: of Stage I.
        patches: P of an image.
        dtype: the networks compute in.
        gpu: whether the networks can leave the device.
    """
    size = dtype.itemsize
    window = window_bytes(sizes, patches, size, PIECE_BYTES)
    everything = elements.together * size
    if not gpu:
        return Needs(everything + window, everything + window)
    staying = everything - elements.stage_zero * size
    least = window_bytes(sizes, patches, size, SMALL_PIECES, keep_keys=False)
    first_mesh = (elements.vae + elements.stage_zero + elements.encoders) * size
    return Needs(max(everything, staying + window), max(first_mesh, (elements.vae + elements.stage_one) * size + least))


@dataclass(frozen=True)
class FreeMemory:
    """A device's memory: its name for people, bytes that are free now, and bytes in all."""

    name: str
    free: int
    total: int


def device_memory(device: torch.device) -> FreeMemory:
    """What a device has; of the CPU what the system, or the container's limit, leaves."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return FreeMemory(f"{device} ({torch.cuda.get_device_name(device)})", free, total)
    free, total = _system_memory(Path("/proc/meminfo").read_text(encoding="utf-8"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        free = min(free, max(0, int(text) - int(used.read_text())))
    return FreeMemory("the CPU", free, total)


def _system_memory(text: str) -> tuple[int, int]:
    """Free and total bytes from /proc/meminfo."""
    found = {name: int(kilobytes) * 1024 for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return found.get("MemAvailable", found.get("MemFree", 0)), found.get("MemTotal", 0)
