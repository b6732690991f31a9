"""The one place where the method's options come from: defaults, the checkpoint's recommendations, what was set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from . import config
from .backbone import Backbone
from .backbone.readout import check_readout
from .camera.poses import rotation_from_degrees
from .config import RolloutConfig
from .errors import ConfigError
from .mesh.surface import grid_levels


def resolve(
    backbone: Backbone, explicit: Mapping[str, Any] | None = None, *, recommended: bool = True
) -> RolloutConfig:
    """The options in force, for the node and the command line alike; what was set wins, whatever its value.

    Args:
        backbone: its ``recommended`` options stand in the checkpoint's attnchain.json (published weights have none).
        explicit: dotted options that the user set, also those set to their default; none if None.
        recommended: False leaves the checkpoint's options (and its number of frames) aside.
    Raises:
        ConfigError: an option is unknown or out of range, or does not fit the others or the backbone.
    """
    base = {"frames": backbone.frames, **backbone.recommended} if recommended else {}
    found: RolloutConfig = config.replace(RolloutConfig(), {**base, **(explicit or {})})
    check_options(backbone, found)
    return found


def check_options(backbone: Backbone, options: RolloutConfig) -> None:
    """Whether options fit one another and the backbone, before a window is spent on finding out.

    Raises:
        ConfigError: a layer, head or step that is not there, grids that do not fit, or a rotation that is none.
    """
    if options.readout.source == "none":
        check_alone(options)
    check_readout(backbone.stage_one.sizes, options.sampling.steps, options.readout)
    for cells in (options.surface.grid, options.surface.candidate_grid):
        grid_levels(dataclasses.replace(options.surface, grid=cells))
    rotation_from_degrees(options.anchor_rotation_deg)


def check_alone(options: RolloutConfig) -> None:
    """Whether a window without network has what it follows.

    Raises:
        ConfigError: parts, pixels or cameras are off.
    """
    wanted = {
        "preset": (options.preset, "full"),
        "parts.rigid": (options.parts.rigid, True),
        "parts.pixels": (options.parts.pixels, True),
        "parts.cameras": (options.parts.cameras, True),
        "camera.estimate": (options.camera.estimate, True),
    }
    for name, (value, need) in wanted.items():
        if value != need:
            raise ConfigError(
                f"readout.source is 'none', which follows pixels alone, but {name} is {value!r}: set it to {need!r}"
            )
