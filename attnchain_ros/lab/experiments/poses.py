"""Experiment 4c: how often the truth lies where a camera pose's covariance says, and which poses are withheld."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, cast

import numpy as np

from ...config import RolloutConfig
from ...mesh.sampling import sample_surface
from ...rollout import Rollout, WindowResult
from ..evaluation.alignment import align_surfaces
from ..evaluation.anchors import clip_mesh
from ..evaluation.cameras import covariances_in_frame, pose_errors, pose_in_frame, within_two_sigma
from ..evaluation.clip_scores import GIVEN, IMAGE
from ..evaluation.methods import OURS, SAMPLE_SEED
from ..evaluation.sequences import cut_windows
from ..report import Section, cell, failure_lines, markdown
from ..synthetic import CAMERAS, Clip, ClipConfig, Split, split_clip
from ..synthetic.strange import FITTED, strange_clip, strange_kind
from ..table import Figures, Subject, concat, names_of, select, spread_of, succeeded
from .bench import Bench, Experiment, Task

if TYPE_CHECKING:
    import pandas as pd

STRANGE_VALIDATION, STRANGE_TEST = "strange validation", "strange"
"""Things of no family (``lab.synthetic.strange``), by seeds of the validation and of the test split."""

WRONG_DEG = 30.0
"""A direction of view this far off is simply wrong."""

_ALIGN_POINTS = 1000

_COLUMNS = {
    "trusted": "frames trusted",
    "inside_turn": "rotation within 2 sigma",
    "inside_place": "place within 2 sigma",
    "inside": "both within their 6D ellipsoid",
    "turn_sigma_deg": "sigma of the rotation, median [deg]",
    "trusted_deg": "rotation error of trusted frames, median [deg]",
    "withheld_deg": "rotation error of withheld frames, median [deg]",
    "wrong_found": f"frames off by more than {WRONG_DEG:g} deg before the gate",
    "wrong_trusted": "... and trusted",
}


def run(bench: Bench, task: Task) -> pd.DataFrame:
    """One window of one clip, from the true mesh and from the first image; its camera is one of the three kinds."""
    camera = CAMERAS[task.clip % len(CAMERAS)]
    config = ClipConfig(frames=bench.config.frames, image_size=bench.image_size, camera=camera)
    if task.split in (STRANGE_VALIDATION, STRANGE_TEST):
        split: Split = "test" if task.split == STRANGE_TEST else "validation"
        # The kinds that the covariances were fitted on are the first ones.
        number = task.clip if split == "test" else task.clip // len(FITTED) * 5 + task.clip % len(FITTED)
        clip, kind = strange_clip(split, number, config), strange_kind(number)
    else:
        clip = split_clip(cast(Split, task.split), task.clip, config)
        kind = clip.config.family
    subject = Subject(task.experiment, task.split, str(task.clip), kind, camera)
    return concat(
        subject.measure(group, OURS, functools.partial(_measure, bench, clip, group == GIVEN))
        for group in (GIVEN, IMAGE)
    )


def _measure(bench: Bench, clip: Clip, given: bool) -> Figures:
    config: RolloutConfig = bench.config
    rollout = Rollout(bench.backbone, config, clip_mesh(clip) if given else None, anchor_is_canonical=True)
    result = rollout.run(next(cut_windows(clip.images, clip.masks, config.frames, clip.intrinsics)))
    truth_from_found = np.eye(4)
    if not given:
        rng = np.random.default_rng(SAMPLE_SEED)
        found = sample_surface(result.vertices[0], result.faces, _ALIGN_POINTS, rng)[0]
        true = sample_surface(clip.vertices[0], clip.faces, _ALIGN_POINTS, rng)[0]
        truth_from_found = align_surfaces(found, true)
    return pose_figures(result, clip.camera_from_object, truth_from_found)


def pose_figures(result: WindowResult, truth: np.ndarray, truth_from_found: np.ndarray) -> Figures:
    """Figures of a window's poses.

    Args:
        result: its poses are those that were found, also where they are not trusted.
        truth: [F, 4, 4] camera_from_object.
        truth_from_found: [4, 4] similarity between the object frames.
    Returns:
        the columns of the report; None where no frame is of that kind.
    """
    camera, trusted = result.camera, result.camera.valid
    errors = pose_errors(pose_in_frame(camera.camera_from_object, truth_from_found), truth)
    turned = np.degrees(np.linalg.norm(errors[:, 3:], axis=1))
    # Where PnP found nothing an old pose is repeated, which is no error of the gate's.
    found = camera.inliers > 0
    figures: Figures = dict.fromkeys(_COLUMNS)
    figures["trusted"] = float(trusted.mean())
    figures["wrong_trusted"] = float((trusted & (turned > WRONG_DEG)).mean())
    figures["wrong_found"] = float((found & (turned > WRONG_DEG)).mean())
    if (~trusted & found).any():
        figures["withheld_deg"] = float(np.median(turned[~trusted & found]))
    if trusted.any() and camera.covariance is not None:
        spread = covariances_in_frame(camera.camera_from_object, camera.covariance, truth_from_found)[trusted]
        own = errors[trusted]
        figures["trusted_deg"] = float(np.median(turned[trusted]))
        figures["turn_sigma_deg"] = float(np.degrees(np.sqrt(np.median(spread[:, 3, 3]))))
        parts = {"inside_turn": slice(3, 6), "inside_place": slice(0, 3), "inside": slice(0, 6)}
        for name, part in parts.items():
            figures[name] = float(within_two_sigma(own[:, part], spread[:, part, part]).mean())
    return figures


def describe(bench: Bench, table: pd.DataFrame) -> Section:
    """A table for each kind of anchor: a row for each split, and the parts of it."""
    lines = [
        "One window of a clip, with the true intrinsics; cameras stand still, go round and sway in turn, and the run "
        "is not told which. `unseen` is a family that was never trained on, `strange` are rigid things of no family. "
        "The covariances were fitted on the validation clips. Within 2 sigma is inside the ellipsoid that holds 95.4 % "
        "of a Gaussian; only trusted frames have a covariance. Lengths from one image are those of the true mesh, onto "
        "which the one found is laid in the first frame.",
        "",
    ]
    for group in (GIVEN, IMAGE):
        own = select(table, group=group)
        rows = []
        for name, part in _parts(own).items():
            good, tried = succeeded(part)
            rows.append([name, f"{good} of {tried}", *(cell(spread_of(part, metric)) for metric in _COLUMNS)])
        lines += [f"### Poses, {group}", "", *markdown(["clips", "clips that succeeded", *_COLUMNS.values()], rows)]
    return Section(EXPERIMENT.title, [*lines, *failure_lines(table)], {})


def _parts(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each split, and of what is known and tested each kind of camera motion."""
    parts: dict[str, pd.DataFrame] = {}
    for split in names_of(table, "dataset"):
        own = select(table, dataset=split)
        parts[split] = own
        if split == "test":
            parts |= {f"test, camera {motion}": select(own, motion=motion) for motion in names_of(own, "motion")}
    return parts


EXPERIMENT = Experiment(
    "poses",
    "Camera poses: where the truth lies, and what is withheld",
    run,
    describe,
    splits=("validation", STRANGE_VALIDATION, "test", "unseen", STRANGE_TEST),
)
