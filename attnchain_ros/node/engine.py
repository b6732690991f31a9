"""The real engine behind the worker: backbone and rollout, made and used in the worker's thread only. ROS-free."""

from __future__ import annotations

import copy
import dataclasses
import gc
from collections.abc import Callable
from pathlib import Path

import torch

from ..backbone import Backbone, load_backbone
from ..config import RolloutConfig
from ..files.meshes import read_mesh
from ..masks import masks_weights
from ..mesh.types import Mesh
from ..notes import Note
from ..options import resolve
from ..rollout.pipeline import Rollout
from ..rollout.window import Window, WindowResult
from ..stream.prompted import AnyTracker
from .anchoring import NewAnchor
from .parameters import NodeSettings

_SMALLER = 4
ID = "{id}"
"""Stands for the object's id in the name of its anchor mesh."""


def own_anchor(name: str, object_id: int) -> Path | None:
    """The file of an object's own anchor mesh; None where the name is for all objects, or there is no such file."""
    path = Path(name.replace(ID, str(object_id)))
    return path if ID in name and path.is_file() else None


class RolloutEngine:
    """A rollout on its device.

    Args:
        settings: of the node; the checkpoint's recommendations are applied to them (see ``settings``).
    Attributes:
        settings: the settings in force.
    Raises:
        WeightsError: the checkpoint cannot be used.   ConfigError: device, dtype or options cannot be used.
        AttnChainError: the anchor mesh cannot be read.
    """

    def __init__(self, settings: NodeSettings) -> None:
        node = settings.node
        self._backbone: Backbone = load_backbone(
            node.weights or None, node.device, node.dtype, settings.rollout.low_memory, settings.rollout.kernels
        )
        for_all = node.anchor_mesh and ID not in node.anchor_mesh
        anchor: Mesh | None = read_mesh(Path(node.anchor_mesh)) if for_all else None
        self.settings = self.resolve(settings)
        self._shrunk = 1
        self._steps: list[Note] = []
        self._rollout = Rollout(self._backbone, self.settings.rollout, anchor)

    def beside(self, object_id: int) -> RolloutEngine:
        """Another object's rollout, from its first window on, with the same networks, anchor and options.

        Raises:
            AttnChainError: its own anchor mesh (``anchor_mesh`` with ``{id}``) cannot be read.
        """
        other = copy.copy(self)
        other._steps = []
        other._rollout = self._rollout.beside()
        path = own_anchor(self.settings.node.anchor_mesh, object_id)
        if path is not None:
            other._rollout = Rollout(self._backbone, self.settings.rollout, read_mesh(path))
        other._rollout.configure(other._effective())
        return other

    @property
    def rollout(self) -> Rollout:
        """What computes; belongs to the thread that made the engine."""
        return self._rollout

    @property
    def description(self) -> str:
        """Checkpoint, device and precision, for the log."""
        backbone = self._backbone
        return f"{backbone.name} ({backbone.checksum}) on {backbone.device}, {backbone.dtype}"

    def resolve(self, settings: NodeSettings) -> NodeSettings:
        """Settings with the checkpoint's own options in place of those that nobody set.

        Raises:
            ConfigError: these options do not fit one another, or not this backbone.
        """
        found = resolve(self._backbone, settings.given, recommended=settings.node.recommended)
        return dataclasses.replace(settings, rollout=found)

    def run(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> WindowResult:
        """Compute one window; raises ``Cancelled`` soon after ``cancelled()`` turns true."""
        return self._told(self._rollout.run(window, progress, cancelled), self._take_steps())

    def begin(
        self, window: Window, progress: Callable[[str, int, int], None], cancelled: Callable[[], bool]
    ) -> Callable[[], WindowResult]:
        """The part of ``run`` that the next window waits for; see ``Rollout.begin``."""
        finish = self._rollout.begin(window, progress, cancelled)
        steps = self._take_steps()
        return lambda: self._told(finish(), steps)

    def reset(self) -> None:
        """Forget the chain so far."""
        self._rollout.reset()

    def make_tracker(self) -> AnyTracker:
        """SAM 2 on the backbone's device and in its precision, for foreground ``sam2``.

        Raises:
            WeightsError: transformers or the model is missing.
        """
        from ..masks.tracker import load_tracker

        node = self.settings.node
        folder = masks_weights(node.sam2.weights, node.weights)
        return load_tracker(folder, self._backbone.device, self._backbone.dtype)

    def take_anchor(self, new: NewAnchor) -> None:
        """Begin the next chain with another anchor."""
        self._rollout.take_anchor(new.anchor, new.size_m)

    def configure(self, config: RolloutConfig) -> None:
        """Use other options from the next window on; landmarks and skinning keep theirs until a reset."""
        self.settings = dataclasses.replace(self.settings, rollout=config)
        self._rollout.configure(self._effective())

    def save_memory(self) -> None:
        """Let networks leave the device and work in smaller pieces; results stay the same, the chain goes on.

        What was done stands in the notes of the next window.
        """
        step = self._backbone.memory.save()
        self._shrunk *= _SMALLER
        text = step or "candidate points and scores are taken in smaller pieces, nothing else is left to do"
        self._steps.append(Note("memory_short", f"the device ran out of memory: {text}"))
        self._rollout.configure(self._effective())
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _take_steps(self) -> list[Note]:
        steps, self._steps = self._steps, []
        return steps

    @staticmethod
    def _told(result: WindowResult, steps: list[Note]) -> WindowResult:
        return dataclasses.replace(result, notes=(*steps, *result.notes)) if steps else result

    def _effective(self) -> RolloutConfig:
        config = self.settings.rollout
        if self._shrunk == 1:
            return config
        return dataclasses.replace(
            config,
            surface=dataclasses.replace(
                config.surface, query_chunk=max(64, config.surface.query_chunk // self._shrunk)
            ),
            match=dataclasses.replace(config.match, tile=max(1, config.match.tile // self._shrunk)),
        )
