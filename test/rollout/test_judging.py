"""Figures that are measured are judged: below their documented level the result says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from node.hand_made import make_result

from attnchain_ros.rollout.judging import TRUSTED_OVERLAP, TRUSTED_POSES, judged
from attnchain_ros.rollout.window import WindowResult

STAMPS = np.arange(1, 9, dtype=np.int64) * 10**8


def result(overlap: float = 0.97, poses: int = 8, **changes: object) -> WindowResult:
    made = make_result(STAMPS, **{key: changes.pop(key) for key in ("scale",) if key in changes})
    camera = replace(made.camera, valid=np.arange(8) < poses)
    return replace(made, silhouette_iou=overlap, camera=camera, **changes)


def codes(found: WindowResult) -> list[str]:
    return [note.code for note in found.notes]


@pytest.mark.parametrize("overlap", [0.6, 0.97, float("nan")])
@pytest.mark.parametrize("poses", [4, 8])
def test_what_is_good_enough_is_left_as_it_is(overlap: float, poses: int):
    before = result(overlap, poses)
    assert judged(before) is before


@pytest.mark.parametrize("overlap", [0.59, 0.28, 0.01, 0.0])
def test_a_small_overlap_is_told_with_its_causes_in_order_and_confidence_follows(overlap: float):
    before = result(overlap)
    found = judged(before)
    assert codes(found) == ["overlap_low"]
    text = found.notes[0].text
    assert f"overlap by {overlap:.2f} only, trusted from {TRUSTED_OVERLAP:g}" in text
    order = [text.index(cause) for cause in ("mask", "anchor_rotation_deg", "more than the object", "inside out")]
    assert order == sorted(order)
    np.testing.assert_allclose(found.confidence, before.confidence * np.float32(overlap / 0.6), rtol=1e-6)
    np.testing.assert_array_equal(found.vertices, before.vertices)


@pytest.mark.parametrize("poses", [3, 1, 0])
def test_few_poses_are_told_and_confidence_follows(poses: int):
    before = result(poses=poses)
    found = judged(before)
    assert codes(found) == ["poses_few"] and f"only {poses} of 8 frames" in found.notes[0].text
    np.testing.assert_allclose(found.confidence, before.confidence * np.float32(poses / 8 / TRUSTED_POSES), rtol=1e-6)


def test_both_count():
    found, before = judged(result(0.3, 2)), result(0.3, 2)
    assert codes(found) == ["overlap_low", "poses_few"]
    np.testing.assert_allclose(found.confidence, before.confidence * np.float32(0.25), rtol=1e-6)


def test_depth_that_agrees_with_nothing_is_told_and_without_depth_nothing_is():
    unitless = result(metric=False)
    assert codes(judged(unitless, depth_given=True)) == ["depth_unused"] and codes(judged(unitless)) == []
    # Without a pose of the first frame depth cannot be compared, and that is told already.
    assert codes(judged(result(poses=0, metric=False), depth_given=True)) == ["poses_few"]


@pytest.mark.parametrize(("scale", "told"), [(2.0, False), (1e-4, True), (200.0, True), (0.001, False)])
def test_a_scale_that_no_object_has_is_told(scale: float, told: bool):
    found = judged(result(scale=scale, metric=True), depth_given=True)
    side = float(np.ptp(found.vertices[0], axis=0).max()) * scale
    assert codes(found) == (["scale_implausible"] if told else [])
    assert not told or f"longest side is {side:.3g} m" in found.notes[0].text
