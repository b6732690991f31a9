"""Limits of the live lane; the node's parameters ``live_lane.*``."""

from __future__ import annotations

from dataclasses import dataclass

from ..config import Checked, option


@dataclass(frozen=True)
class LiveConfig(Checked):
    """How much the live lane keeps, and when it says that it is lost."""

    points: int = option(500, "most points that are carried from image to image", low=20, high=5000)
    size_px: int = option(
        640, "longer side of the stored grey images; larger ones are shrunk", unit="px", low=64, high=4096
    )
    store_s: float = option(
        8.0, "so long images are kept, to catch up from a window's last one", unit="s", low=0.1, high=120.0
    )
    store_images: int = option(
        250, "most images that are kept (0.3 MB each at 640x480)", unit="images", low=2, high=5000
    )
    max_age_s: float = option(
        8.0, "so long after the last frame of a window its pose is called lost", unit="s", low=0.05, high=120.0
    )
    min_points: int = option(12, "fewer points that agree with a pose are no pose", low=6, high=5000)
    min_share: float = option(0.4, "a smaller share of the points that agree with a pose is no pose", low=0.0, high=1.0)
