"""Ranking the ways to read attention."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from attnchain_ros.backbone import load_backbone
from attnchain_ros.config import replace
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
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout
from attnchain_ros.rollout.state import RolloutState
from attnchain_ros.rollout.trace import Trace
from attnchain_ros.rollout.window import Window

SMALL = {
    "surface.grid": 16, "surface.coarse_grid": 8, "surface.candidate_grid": 16, "surface.n_surface": 64,
    "encode_points": 128, "animation.landmarks": 12, "sampling.steps": 2,
}  # fmt: skip
CLIP = make_clip(split_seed("test", 2), ClipConfig(family="door", frames=3, image_size=48, mesh_spacing=0.06))
Made = tuple[Rollout, Window, RolloutState]


@pytest.fixture(scope="module")
def made(tiny_folder: Path) -> Made:
    backbone = load_backbone(tiny_folder, "cpu")
    config = resolve(backbone, SMALL)
    window = next(clip_windows(CLIP, 4))
    rollout = Rollout(backbone, config, clip_mesh(CLIP), anchor_is_canonical=True)
    return rollout, window, rollout.start(window)


@pytest.fixture(scope="module")
def seen(made: Made) -> Trace:
    rollout, window, start = made
    return rollout.trace(window, start)


@torch.no_grad()
def test_scores_against_loops(made: Made, seen: Trace) -> None:
    backbone, config = made[0].backbone, made[0].config
    vertices, diagonal = seen.state.anchor.mesh.vertices, seen.diagonal
    anchor_tokens = seen.anchor_field.attention(torch.from_numpy(vertices)[None])[0].numpy()
    start = seen.landmarks.numpy()
    near = twin.nearest_neighbours(start, NEIGHBOURS)
    cycles, distortions = [], []
    for frame in (1, 2):  # frame 0 is the anchor, frame 3 is padding
        found = seen.matches.points[frame]
        tokens = backbone.decode(seen.stage.latents[frame : frame + 1]).attention(found[None])[0].numpy()
        middle = seen.stage.maps.token_tokens[frame].numpy()
        back = twin.return_points(tokens, middle, anchor_tokens, vertices, config.match, diagonal)
        cycles.append(np.linalg.norm(start - back, axis=1).mean() / diagonal)
        distortions.append(twin.neighbour_distortions(start, found.numpy(), near).mean())
    scores = score_cycle(backbone, config, seen)
    # The random networks attend almost evenly, so the way back hangs on small differences of float32 scores: worst
    # seen 3e-6 relative.
    assert scores.cycle == pytest.approx(np.mean(cycles), rel=1e-3)
    assert scores.distortion == pytest.approx(np.mean(distortions), rel=1e-5)
    assert scores.both == pytest.approx(np.sqrt(scores.cycle * scores.distortion))


def test_frames_without_a_surface_do_not_count(made: Made, seen: Trace) -> None:
    backbone, config = made[0].backbone, made[0].config
    whole = score_cycle(backbone, config, seen)
    fewer = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, empty_frames=(2,)))
    assert score_cycle(backbone, config, fewer) != whole
    none = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, empty_frames=(1, 2)))
    with pytest.raises(SurfaceError, match="no frame of the window has a surface"):
        score_cycle(backbone, config, none)


def test_matches_that_gather_in_one_point_are_distorted_fully(made: Made, seen: Trace) -> None:
    backbone, config = made[0].backbone, made[0].config
    points = torch.zeros_like(seen.matches.points)
    gathered = dataclasses.replace(seen, matches=dataclasses.replace(seen.matches, points=points))
    assert score_cycle(backbone, config, gathered).distortion == pytest.approx(1.0)
    still = dataclasses.replace(
        seen, matches=dataclasses.replace(seen.matches, points=seen.landmarks.expand(4, -1, -1).clone())
    )
    assert score_cycle(backbone, config, still).distortion == 0.0


def test_every_reading_is_an_option_and_reads_something_else(
    made: Made,
) -> None:
    rollout, window, start = made
    backbone, config = rollout.backbone, rollout.config
    ways = readings(backbone, config)
    names = [way.name for way in ways]
    assert names[:5] == ["layer 0", "layer 2", "first half of the layers", "last half of the layers", "all layers"]
    assert names[5:8] == ["step 0", "step 1", "all steps"]
    assert names[8:] == ["forward", "backward", "both", "rows renormalised", "rows as they are"]
    heads = head_readings(backbone, "2")
    assert [dict(way.changes) for way in heads][-1] == {"readout.layers": "2", "readout.heads": "all"}
    assert heads[1].apply(config).readout.heads == "1"
    two = [ways[0], ways[9]]
    scores = probe_window(rollout, window, start, two)
    assert len(scores) == 2 and scores[0] != scores[1] and all(isinstance(score, ProbeScores) for score in scores)
    # One way at a time gives the same as several.
    assert probe_window(rollout, window, start, two[1:]) == scores[1:]
    assert rollout.config == config
    reinforced = Rollout(
        backbone, replace(config, {"reinforce.mode": "gain"}), clip_mesh(CLIP), anchor_is_canonical=True
    )
    with pytest.raises(ConfigError, match=r"reinforce\.mode is 'gain'"):
        probe_window(reinforced, window, start, two)


def test_groups_can_be_chosen(made: Made) -> None:
    backbone, config = made[0].backbone, made[0].config
    more = replace(config, {"sampling.steps": 4})
    assert [way.name for way in readings(backbone, more, ["steps"])] == [f"step {n}" for n in range(4)] + ["all steps"]
    for wrong in ("leyers", "heads"):
        with pytest.raises(ConfigError, match=f"no group of readings '{wrong}'"):
            readings(backbone, config, [wrong])
