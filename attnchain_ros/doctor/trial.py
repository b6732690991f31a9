"""One small window, computed from beginning to end with the embedded checkpoint."""

from __future__ import annotations

import time

import numpy as np

from ..stream.source import FrameSource
from .findings import Finding, State


def try_window(source: FrameSource, device: str = "auto", dtype: str = "auto") -> Finding:
    """Compute the first window of a clip and see whether it is whole.

    Args:
        source: a clip with masks.
        device, dtype: to compute with.
    Raises:
        AttnChainError: it cannot be computed.
    """
    from ..backbone import load_backbone
    from ..options import resolve
    from ..rollout.pipeline import Rollout
    from ..stream.config import StreamConfig
    from ..stream.windows import ClipWindows

    started = time.monotonic()
    backbone = load_backbone(None, device, dtype)
    config = resolve(backbone)
    window = next(iter(ClipWindows(source, StreamConfig(), config.frames))).window
    loaded = time.monotonic()
    result = Rollout(backbone, config).run(window)
    seconds = time.monotonic() - loaded
    kind = str(backbone.dtype).removeprefix("torch.")
    posed = int(result.camera.valid.sum())
    text = (
        f"{result.frames} frames of {source.name} in {seconds:.1f} s on {backbone.device} in {kind} (and "
        f"{loaded - started:.1f} s to load): {result.vertices.shape[1]} vertices, {posed} of {result.frames} poses"
    )
    if not np.isfinite(result.vertices).all():
        return Finding(
            "window", State.FAIL, f"{text}; vertices that are no numbers", "try --device cpu and report this"
        )
    if posed < result.frames / 2:
        return Finding("window", State.WARN, text, "on this clip every frame has a pose elsewhere: report this")
    return Finding("window", State.OK, text)
