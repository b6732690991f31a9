"""The camera's turns from the background: against the cameras that drew it, and where nothing can be told."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.background import (
    Surroundings,
    background_turns,
    epipolar_misses,
    relative_motion,
    turn_alone,
)
from attnchain_ros.errors import InputError
from attnchain_ros.lab.reference import background as twin
from attnchain_ros.lab.synthetic import Camera, ClipConfig, make_clip, split_seed

K = np.array([[280.0, 0, 127.5], [0, 280.0, 127.5], [0, 0, 1]])


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(Rotation.from_matrix(one @ other.T).magnitude()))


def room(camera: Camera, frames: int = 8, **options: int) -> tuple[Surroundings, np.ndarray]:
    clip = make_clip(
        split_seed("test", 0), ClipConfig(frames=frames, image_size=192, camera=camera, surrounding="room", **options)
    )
    turns = clip.camera_from_object[:, :3, :3]
    return Surroundings(clip.images, clip.masks, clip.intrinsics), turns @ turns[0].T


@pytest.mark.parametrize("camera", ["static", "orbit", "sway"])
def test_turns_of_a_camera_in_a_room(camera: Camera) -> None:
    seen, true = room(camera)
    found = background_turns(seen)
    assert found.turns is not None, found.reason
    assert np.allclose(np.linalg.det(found.turns), 1.0)
    assert max(angle_deg(one, other) for one, other in zip(found.turns, true, strict=True)) < 0.6
    if camera != "static":
        assert angle_deg(true[-1], np.eye(3)) > 2.0


def test_the_object_itself_takes_no_part() -> None:
    """Noise where the object is changes nothing but what coarse levels of the flow see of it."""
    seen, _ = room("orbit", 5)
    noise = np.random.default_rng(0).integers(0, 255, seen.images.shape, np.uint8)
    found = background_turns(Surroundings(np.where(seen.masks[..., None], noise, seen.images), seen.masks, K)).turns
    whole = background_turns(Surroundings(seen.images, np.zeros_like(seen.masks), K)).turns
    other = background_turns(Surroundings(seen.images, seen.masks, K)).turns
    assert found is not None and whole is not None and other is not None
    assert max(angle_deg(one, two) for one, two in zip(found, other, strict=True)) < 0.2
    assert not np.array_equal(whole, other)


def test_the_same_pictures_give_the_same_bits() -> None:
    """OpenCV's generator, which is shared by the whole process, has no part in it."""
    seen, _ = room("orbit", 5)
    first = background_turns(seen).turns
    cv2.setRNGSeed(77)
    again = background_turns(seen).turns
    assert first is not None and np.array_equal(first, again)


def test_large_pictures_are_shrunk_with_their_intrinsics() -> None:
    seen, true = room("sway", 4)
    factor = 4  # 768 pixels: above WORK_PX
    grown = np.array([[factor, 0, 0.5 * factor - 0.5], [0, factor, 0.5 * factor - 0.5], [0, 0, 1.0]])
    large = Surroundings(
        np.stack(
            [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC) for image in seen.images]
        ),
        seen.masks.repeat(factor, axis=1).repeat(factor, axis=2),
        grown @ seen.intrinsics,
    )
    found = background_turns(large)
    assert found.turns is not None, found.reason
    assert max(angle_deg(one, other) for one, other in zip(found.turns, true, strict=True)) < 0.6


def test_a_plain_background_tells_nothing() -> None:
    clip = make_clip(split_seed("test", 0), ClipConfig(frames=3, image_size=96, camera="orbit"))
    found = background_turns(Surroundings(clip.images, clip.masks, clip.intrinsics))
    assert found.turns is None
    assert "0 corners" in found.reason and "texture" in found.reason


def test_a_background_that_does_not_stand_still_is_refused() -> None:
    rng = np.random.default_rng(3)
    first = rng.uniform(0, 255, (120, 2))
    found = relative_motion(first, first + rng.normal(0, 12, first.shape), K)
    assert found.miss_px > 1.0


def points_before(seed: int, count: int = 120) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack([rng.uniform(-2, 2, (count, 2)), rng.uniform(3, 9, count)])


def seen_at(points: np.ndarray) -> np.ndarray:
    flat = points @ K.T
    return flat[:, :2] / flat[:, 2:]


@pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.3, 0.0, 0.1), (0.0, 0.05, 0.4)])
@pytest.mark.parametrize("wrong", [0, 30])
def test_the_motion_of_exact_points_is_exact(shift: tuple[float, float, float], wrong: int) -> None:
    points = points_before(1)
    turn = Rotation.from_rotvec([0.05, -0.12, 0.03]).as_matrix()
    one, two = seen_at(points), seen_at(points @ turn.T + shift)
    two[:wrong] += np.random.default_rng(2).uniform(15, 40, (wrong, 2))
    found = relative_motion(one, two, K)
    assert angle_deg(found.turn, turn) < (1e-3 if not wrong else 0.2)
    assert found.miss_px < (0.05 if not wrong else 0.2)
    if any(shift):
        assert abs(found.shift @ shift) / np.linalg.norm(shift) > 0.999
    else:
        assert not found.shift.any()


def test_turns_alone_and_distances_equal_their_twin() -> None:
    points = points_before(4, 40)
    turn = Rotation.from_rotvec([-0.2, 0.1, 0.3]).as_matrix()
    found, apart = turn_alone(points, points @ turn.T)
    assert angle_deg(found, turn) < 1e-5 and apart.max() < 1e-9
    rng = np.random.default_rng(5)
    one, two = (np.column_stack([rng.normal(size=(9, 2)), np.ones(9)]) for _ in range(2))
    shift = rng.normal(size=3)
    assert np.allclose(epipolar_misses(turn, shift, one, two), twin.epipolar_misses(turn, shift, one, two), atol=1e-12)


def test_too_few_corners() -> None:
    with pytest.raises(InputError, match="7 corners"):
        relative_motion(np.zeros((7, 2)), np.zeros((7, 2)), K)
