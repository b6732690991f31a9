"""How much memory a checkpoint takes on a device, from its headers, and how much the device has."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import torch

from ..backbone.transformer import TransformerSizes

PIECE_BYTES = 256 << 20
"""About the largest temporary array of a window."""

SPARE = 0.9
"""Share of the free memory that is counted on: other programs and fragments take some."""


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


def memory_needed(elements: Elements, sizes: TransformerSizes, patches: int, dtype: torch.dtype) -> int:
    """Bytes at the fullest moment of a window: all weights, and what Stage I works with.

    Args:
        elements: of the networks.
        sizes: of Stage I.
        patches: P of an image.
        dtype: the networks compute in.
    """
    return elements.together * dtype.itemsize + window_bytes(sizes, patches, dtype.itemsize)


def window_bytes(sizes: TransformerSizes, patches: int, element: int) -> int:
    """About what Stage I takes at its peak beside its weights: denoising a window while attention is read."""
    hidden = sizes.frames * (sizes.tokens + 1) * sizes.width * element
    keys = 2 * sizes.layers * sizes.frames * (patches + 1) * sizes.width * element
    maps = 4 * sizes.frames * sizes.tokens * (sizes.tokens + patches)
    # Outputs of the lower layers; queries, keys, values joined and split, turned, the output; three arrays in pieces.
    return (sizes.layers // 2 + 9) * hidden + keys + maps + 3 * min(PIECE_BYTES, 8 * hidden)


@dataclass(frozen=True)
class DeviceMemory:
    """A device's memory: its name for people, bytes that are free now, and bytes in all."""

    name: str
    free: int
    total: int


def device_memory(device: torch.device) -> DeviceMemory:
    """What a device has; of the CPU what the system, or the container's limit, leaves."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return DeviceMemory(f"{device} ({torch.cuda.get_device_name(device)})", free, total)
    free, total = _system_memory(Path("/proc/meminfo").read_text(encoding="utf-8"))
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.is_file() and used.is_file() and (text := limit.read_text().strip()).isdigit():
        total = min(total, int(text))
        free = min(free, max(0, int(text) - int(used.read_text())))
    return DeviceMemory("the CPU", free, total)


def _system_memory(text: str) -> tuple[int, int]:
    """Free and total bytes from /proc/meminfo."""
    found = {name: int(kilobytes) * 1024 for name, kilobytes in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return found.get("MemAvailable", found.get("MemFree", 0)), found.get("MemTotal", 0)
