from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from attnchain_ros.backbone import load_backbone
from attnchain_ros.errors import ConfigError
from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig
from attnchain_ros.lab.evaluation.clip_scores import GIVEN, IMAGE, evaluate_clips
from attnchain_ros.lab.evaluation.methods import OURS, STILL
from attnchain_ros.lab.evaluation.runs import RunFile
from attnchain_ros.lab.evaluation.synthetic import SyntheticSet, clip_windows
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.lab.table import names_of, select, succeeded, to_json, values_of
from attnchain_ros.options import resolve


def test_windows_cover_the_clip() -> None:
    clip = make_clip(split_seed("test", 0), ClipConfig(frames=7, image_size=32))
    windows = list(clip_windows(clip, 4))
    assert [window.frames for window in windows] == [4, 4]
    assert windows[0].stamps_ns[-1] == windows[1].stamps_ns[0]
    assert np.array_equal(windows[1].images, clip.images[3:])
    assert np.array_equal(windows[0].masks, clip.masks[:4])


@pytest.mark.slow
def test_runs_and_failures_are_all_told(tiny_folder: Path, tmp_path: Path) -> None:
    """Random weights: the figures mean nothing, but there must be figures or a reason for every run."""
    backbone = load_backbone(tiny_folder, "cpu")
    small = {
        "surface.grid": 16,
        "surface.coarse_grid": 8,
        "surface.candidate_grid": 16,
        "surface.n_surface": 64,
        "encode_points": 128,
        "animation.landmarks": 24,
        "sampling.steps": 1,
        "sampling.stage0_steps": 1,
        "tracks.max_queries": 16,
    }
    seen: list[tuple[int, int]] = []

    def evaluate(resume: bool) -> pd.DataFrame:
        return evaluate_clips(
            backbone,
            resolve(backbone, small),
            range(3, 4),
            clips=SyntheticSet(clip=ClipConfig(frames=5, image_size=48, mesh_spacing=0.06)),
            counts=ActionBenchConfig(points=200, queries=100, align_points=50, starts=1, iterations=2),
            file=RunFile(tmp_path, {}, resume),
            progress=lambda *at: seen.append(at),
        )

    table = evaluate(False)
    assert seen == [(1, 2), (2, 2)]
    assert names_of(table, "clip") == ["3"] and names_of(table, "group") == [GIVEN, IMAGE]
    good, tried = succeeded(select(table, group=GIVEN))
    assert good == tried == 7
    ours, still = (select(table, group=GIVEN, variant=name) for name in (OURS, STILL))
    assert values_of(ours, "first_all") == pytest.approx([0], abs=1e-6)  # the anchor is the truth
    assert values_of(still, "last_all") == pytest.approx(values_of(ours, "true_still_last_all"), abs=1e-6)
    # Finished runs are not run again: their times are the same to the last digit.
    again = evaluate(True)
    assert to_json(select(again, group=GIVEN)) == to_json(select(table, group=GIVEN))


def test_what_cannot_be_evaluated_is_refused(tiny_folder: Path) -> None:
    backbone = load_backbone(tiny_folder, "cpu")
    with pytest.raises(ConfigError, match="frames is 1"):
        evaluate_clips(backbone, resolve(backbone), range(1), clips=SyntheticSet(clip=ClipConfig(frames=1)))
    with pytest.raises(ConfigError, match="nothing to evaluate"):
        evaluate_clips(backbone, resolve(backbone), range(0))
