"""What every experiment works with: networks, options and clips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ...backbone import Backbone
from ...config import RolloutConfig, replace
from ..evaluation.actionbench_config import REDUCED, ActionBenchConfig
from ..evaluation.scene import Scene
from ..evaluation.synthetic import SyntheticSet
from ..report import Section
from ..synthetic import Camera, ClipConfig, Split, Surrounding
from ..table import Subject

if TYPE_CHECKING:
    import pandas as pd

MESH_ONLY = {"camera.estimate": False, "tracks.max_queries": 1}
"""Options that leave out what a figure of the mesh alone does not need."""


@dataclass(frozen=True)
class Task:
    """One piece of work: an experiment on one clip.

    Attributes:
        experiment: its name.
        split, clip: which clip.
        part: what of it, "" for all at once.
        baselines: whether to measure ``Scene.baselines``, which may be known from another experiment.
    """

    experiment: str
    split: str
    clip: int
    part: str = ""
    baselines: bool = True

    @property
    def piece(self) -> str:
        """Its name in the file of a run."""
        told = (f"{self.split} {self.clip}", self.part, "" if self.baselines else "without baselines")
        return ", ".join(filter(None, told))


@dataclass(frozen=True)
class Bench:
    """Networks and options of a run.

    Attributes:
        backbone, config: of the rollout; ``config`` is the recommended setting that others are compared with.
        counts: points and steps of the Chamfer figures.
        image_size: side of the pictures in pixels.
    """

    backbone: Backbone
    config: RolloutConfig
    counts: ActionBenchConfig = REDUCED
    image_size: int = 256

    def changed(self, changes: dict[str, Any]) -> RolloutConfig:
        """The recommended options with some changed."""
        found: RolloutConfig = replace(self.config, changes)
        return found

    def scene(
        self, task: Task, camera: Camera = "static", surrounding: Surrounding = "plain", *, frames: int = 0
    ) -> Scene:
        """The clip of a task; ``frames``: how long, 0 = as long as a window."""
        config = ClipConfig(
            frames=frames or self.config.frames, image_size=self.image_size, camera=camera, surrounding=surrounding
        )
        clip = SyntheticSet(cast(Split, task.split), clip=config).make(task.clip)
        subject = Subject(task.experiment, task.split, str(task.clip), clip.config.family, camera)
        return Scene(clip, subject, self.counts)


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: in the command.
        title: in the report.
        splits: whose clips it takes.
        run: one task, which is one clip or a part of one.
        describe: the whole table of the experiment as a section of the report.
        shares_baselines: its tables end with ``Scene.baselines``, which the summary measures as well.
        first: clips that are taken before the others, so that a few show every family.
        follow_up: part of the tasks that can be planned only when all clips have been through the first part, from
            the rows so far; "" or None if there is none.
    """

    name: str
    title: str
    run: Callable[[Bench, Task], pd.DataFrame]
    describe: Callable[[Bench, pd.DataFrame], Section]
    splits: tuple[str, ...] = ("test",)
    shares_baselines: bool = False
    first: tuple[int, ...] = ()
    follow_up: Callable[[Bench, pd.DataFrame], str] | None = None

    def clips(self, count: int) -> list[int]:
        """The numbers of as many clips.

        >>> Experiment("a", "A", None, None, first=(4, 2)).clips(4)
        [4, 2, 0, 1]
        """
        others = (number for number in range(count + len(self.first)) if number not in self.first)
        return [*self.first, *others][:count]
