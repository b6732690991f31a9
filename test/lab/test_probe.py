"""Ranking the ways to read attention."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.backbone import Backbone, load_backbone
from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import ConfigError, SurfaceError
from attnchain_ros.lab.evaluation.anchors import clip_mesh
from attnchain_ros.lab.evaluation.synthetic import clip_windows
from attnchain_ros.lab.probe import (
    NEIGHBOURS,
    ProbeScores,
    head_readings,
    probe_window,
    readings,
    score_cycle,
)
from attnchain_ros.lab.reference import cycle as twin
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.rollout import config_for
from attnchain_ros.rollout.inspection import Inspection, Start, inspect_window, start_window
from attnchain_ros.rollout.window import Window

SMALL = {
    "surface.grid": 16, "surface.coarse_grid": 8, "surface.candidate_grid": 16, "surface.n_surface": 64,
    "encode_points": 128, "animation.landmarks": 12, "sampling.steps": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny_folder: Path) -> tuple[Backbone, RolloutConfig, Window, Start]:
    backbone = load_backbone(tiny_folder, "cpu")
    config = config_for(backbone, SMALL)
    clip = make_clip(split_seed("test", 2), ClipConfig(family="door", frames=3, image_size=48, mesh_spacing=0.06))
    window = next(clip_windows(clip, 4))
    return backbone, config, window, start_window(backbone, config, window, clip_mesh(clip), True)


@pytest.fixture(scope="module")
def seen(made: tuple[Backbone, RolloutConfig, Window, Start]) -> Inspection:
    backbone, config, window, start = made
    return inspect_window(backbone, config, window, start)


@torch.no_grad()
def test_scores_against_loops(made: tuple[Backbone, RolloutConfig, Window, Start], seen: Inspection) -> None:
    backbone, config, _, _ = made
    vertices, diagonal = seen.anchor.mesh.vertices, seen.anchor.mesh.diagonal
    anchor_tokens = seen.anchor_field.attention(torch.from_numpy(vertices)[None])[0].numpy()
    start = seen.landmarks.numpy()
    near = twin.nearest_neighbours(start, NEIGHBOURS)
    cycles, distortions = [], []
    for frame in (1, 2):  # frame 0 is the anchor, frame 3 is padding
        found = seen.matches.points[frame]
        tokens = backbone.decode(seen.stage.latents[frame : frame + 1]).attention(found[None])[0].numpy()
        middle = seen.stage.maps.token_tokens[frame].numpy()
        back = twin.return_points(tokens, middle, anchor_tokens, vertices, config.match, diagonal)
        cycles.append(twin.cycle_errors(start, back, diagonal).mean())
        distortions.append(twin.neighbour_distortions(start, found.numpy(), near).mean())
    scores = score_cycle(backbone, config, seen)
    # The random networks attend almost evenly, so the way back hangs on small differences of float32 scores: worst
    # seen 3e-6 relative.
    assert scores.cycle == pytest.approx(np.mean(cycles), rel=1e-3)
    assert scores.distortion == pytest.approx(np.mean(distortions), rel=1e-5)
    assert scores.both == pytest.approx(np.sqrt(scores.cycle * scores.distortion))


def test_frames_without_a_surface_do_not_count(
    made: tuple[Backbone, RolloutConfig, Window, Start], seen: Inspection
) -> None:
    backbone, config, _, _ = made
    whole = score_cycle(backbone, config, seen)
    fewer = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, empty_frames=(2,)))
    assert score_cycle(backbone, config, fewer) != whole
    none = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, empty_frames=(1, 2)))
    with pytest.raises(SurfaceError, match="no frame of the window has a surface"):
        score_cycle(backbone, config, none)


def test_matches_that_gather_in_one_point_are_distorted_fully(
    made: tuple[Backbone, RolloutConfig, Window, Start], seen: Inspection
) -> None:
    backbone, config, _, _ = made
    points = torch.zeros_like(seen.matches.points)
    gathered = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, points=points))
    assert score_cycle(backbone, config, gathered).distortion == pytest.approx(1.0)
    still = dataclasses.replace(
        seen, matches=dataclasses.replace(seen.matches, points=seen.landmarks.expand(4, -1, -1).clone())
    )
    assert score_cycle(backbone, config, still).distortion == 0.0


def test_every_reading_is_an_option_and_reads_something_else(
    made: tuple[Backbone, RolloutConfig, Window, Start],
) -> None:
    backbone, config, window, start = made
    ways = readings(backbone, config)
    names = [way.name for way in ways]
    assert names[:5] == ["layer 0", "layer 2", "first half of the layers", "last half of the layers", "all layers"]
    assert names[5:8] == ["step 0", "step 1", "all steps"]
    assert names[8:] == ["forward", "backward", "both", "rows renormalised", "rows as they are"]
    heads = head_readings(backbone, "2")
    assert [dict(way.changes) for way in heads][-1] == {"readout.layers": "2", "readout.heads": "all"}
    assert heads[1].apply(config).readout.heads == "1"
    two = [ways[0], ways[9]]
    scores = probe_window(backbone, config, window, start, two)
    assert len(scores) == 2 and scores[0] != scores[1] and all(isinstance(score, ProbeScores) for score in scores)
    # One way at a time gives the same as several.
    assert probe_window(backbone, config, window, start, two[1:]) == scores[1:]


def test_groups_can_be_chosen(made: tuple[Backbone, RolloutConfig, Window, Start]) -> None:
    backbone, config, _, _ = made
    more = replace(config, {"sampling.steps": 4})
    assert [way.name for way in readings(backbone, more, ["steps"])] == [f"step {n}" for n in range(4)] + ["all steps"]
    for wrong in ("leyers", "heads"):
        with pytest.raises(ConfigError, match=f"no group of readings '{wrong}'"):
            readings(backbone, config, [wrong])
