"""Things whose outline is the same from several sides: colours and motion say which side it is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from attnchain_ros.camera.first_pose import FirstPose, find_first_pose, tied_fits, turn_upright
from attnchain_ros.camera.raycast import rasterize
from attnchain_ros.camera.side import colour_agreement
from attnchain_ros.camera.tracks3d import project, to_camera
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.reference import raycast as twin_rays
from attnchain_ros.lab.reference import side as twin
from attnchain_ros.parts.keyframes import turn_between
from attnchain_ros.parts.sides import PixelTracks, motion_share, track_agreement

SIZE = 128
INTRINSICS = np.array([[130.0, 0, 63.5], [0, 130.0, 63.5], [0, 0, 1]])
RED, BLUE = (200, 40, 40), (40, 60, 190)


def box() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A box that is the same after half a turn: vertices, faces, and colours, red in front (+z) and blue behind."""
    x, y, z = np.meshgrid([-0.5, 0.5], [-0.3, 0.3], [-0.4, -0.01, 0.01, 0.4], indexing="ij")
    grid = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    front, back = [number for number, p in enumerate(grid) if p[2] > 0], [n for n, p in enumerate(grid) if p[2] < 0]
    hull = np.array([[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1], [2, 3, 7], [2, 7, 6],
                     [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]])  # fmt: skip
    faces = np.concatenate([np.array(part)[hull] for part in (back, front)]).astype(np.int32)
    colors = np.where(grid[:, 2:] > 0, RED, BLUE).astype(np.uint8)
    return grid.astype(np.float32), faces, colors


def pose_of(yaw_deg: float) -> np.ndarray:
    pose = np.eye(4)
    turn = Rotation.from_euler("x", 20, degrees=True) * Rotation.from_euler("y", -yaw_deg, degrees=True)
    pose[:3, :3] = np.diag([1.0, -1.0, -1.0]) @ turn.as_matrix()
    pose[:3, 3] = [0, 0, 3.0]
    return pose


def picture_of(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image, in dimmer and bluer light than the mesh's own colours, and mask."""
    vertices, faces, colors = box()
    drawn = rasterize(to_camera(vertices[None], pose)[0], faces, INTRINSICS, SIZE, SIZE)
    mask = drawn.face >= 0
    image = np.full((SIZE, SIZE, 3), 255.0)
    image[mask] = np.einsum("nc,ncx->nx", drawn.barycentric[mask], colors[faces[drawn.face[mask]]].astype(float))
    image[mask] = image[mask] * [0.5, 0.6, 0.8] + [5, 10, 30]
    return image.astype(np.uint8), mask


def angle_deg(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.degrees(turn_between(one[:3, :3], other[:3, :3])))


@pytest.mark.parametrize("yaw", [35.0, 215.0])
def test_colours_say_which_side_of_a_symmetric_box_is_seen(yaw: float) -> None:
    """Attention looked at the other side: without colours it is believed, with them it is not."""
    vertices, faces, colors = box()
    true, wrong = pose_of(yaw), pose_of(yaw + 180)
    image, mask = picture_of(true)
    blind = find_first_pose((vertices, faces), INTRINSICS, mask, (wrong,))
    assert blind is not None and angle_deg(blind[0], true) > 170

    def evidence(pose: np.ndarray) -> float:
        return 0.1 * colour_agreement((vertices, faces), colors, (image, mask), INTRINSICS, pose)

    found = find_first_pose((vertices, faces), INTRINSICS, mask, (wrong,), evidence)
    assert found is not None and angle_deg(found[0], true) < 4 and found[1] > 0.97


def test_motion_says_which_side_of_a_symmetric_box_is_seen() -> None:
    """The front half slides upwards; nothing but its pixels tells it from the half behind."""
    vertices, faces, _ = box()
    true, wrong = pose_of(35), pose_of(215)
    moving = np.repeat(vertices[None], 7, axis=0)
    moving[:, vertices[:, 2] > 0, 1] += np.linspace(0, 0.3, 7)[:, None]
    _, mask = picture_of(true)
    tracks = follow(moving, faces, true, mask)
    shares = [track_agreement(moving, faces, tracks, pose) for pose in (true, wrong)]
    assert shares[0] > 0.95 and shares[1] < 0.6

    def evidence(pose: np.ndarray) -> float:
        return 0.1 * track_agreement(moving, faces, tracks, pose)

    found = find_first_pose((vertices, faces), INTRINSICS, mask, (wrong,), evidence)
    assert found is not None and angle_deg(found[0], true) < 4
    # A mesh that rests says nothing about pixels that rest.
    still = PixelTracks(np.repeat(tracks.points_px[:1], 7, axis=0), tracks.alive, INTRINSICS)
    assert track_agreement(np.repeat(vertices[None], 7, axis=0), faces, still, true) == 0.0


def follow(moving: np.ndarray, faces: np.ndarray, pose: np.ndarray, mask: np.ndarray) -> PixelTracks:
    """The true tracks of a grid of pixels of the first frame, found by the slow ray caster."""
    rows, columns = np.nonzero(mask)
    pixels = np.stack([columns, rows], axis=1)[::23].astype(np.float64)
    face, weights = twin_rays.intersect_pixels(to_camera(moving[:1], pose)[0], faces, INTRINSICS, pixels)
    places = np.einsum("qc,fqcx->fqx", weights, moving[:, faces[face]])
    tracks = np.stack([project(INTRINSICS, frame) for frame in to_camera(places, pose)])
    return PixelTracks(tracks, np.repeat((face >= 0)[None], len(moving), axis=0), INTRINSICS)


def test_colour_agreement_against_the_twin() -> None:
    vertices, faces, colors = box()
    image, mask = picture_of(pose_of(35))
    for yaw in (35.0, 80.0, 215.0):
        drawn = rasterize(to_camera(vertices[None], pose_of(yaw))[0], faces, INTRINSICS, SIZE, SIZE)
        both = mask & (drawn.face >= 0)
        own = np.einsum("nc,ncx->nx", drawn.barycentric[both], colors[faces[drawn.face[both]]].astype(float))
        found = colour_agreement((vertices, faces), colors, (image, mask), INTRINSICS, pose_of(yaw))
        assert found == pytest.approx(twin.colour_agreement(own, image[both].astype(float)), abs=1e-9)


def test_colours_that_say_nothing() -> None:
    vertices, faces, colors = box()
    picture = picture_of(pose_of(35))
    plain = np.full_like(colors, 90)
    assert colour_agreement((vertices, faces), plain, picture, INTRINSICS, pose_of(35)) == 0.0
    nowhere = picture[0], np.zeros_like(picture[1])
    assert colour_agreement((vertices, faces), colors, nowhere, INTRINSICS, pose_of(35)) == 0.0
    with pytest.raises(ShapeError, match="colors"):
        colour_agreement((vertices, faces), colors[:-1], picture, INTRINSICS, pose_of(35))


def test_motion_share_against_the_twin(rng: np.random.Generator) -> None:
    moved, expected, away = rng.uniform(0, 8, (3, 40))
    moved[:5] = expected[:5] = 0.0
    assert motion_share(moved, expected, away, 3.0) == pytest.approx(twin.motion_share(moved, expected, away, 3.0))
    assert motion_share(np.zeros(3), np.zeros(3), np.zeros(3), 3.0) == 0.0


def test_ties_are_different_poses_of_like_overlap() -> None:
    fits = [FirstPose(pose_of(yaw), overlap) for yaw, overlap in ((0, 0.90), (3, 0.93), (180, 0.95), (90, 0.6))]
    assert [fit.overlap for fit in tied_fits(fits)] == [0.93, 0.95]
    assert tied_fits([]) == []


def test_a_turn_about_the_upright_axis_keeps_the_middle() -> None:
    vertices = box()[0] + np.array([1.0, 2.0, 3.0], np.float32)
    pose = pose_of(10)
    middle = np.array([1.0, 2.0, 3.0])
    turned = turn_upright(pose, vertices, 90)
    assert np.allclose(pose[:3, :3] @ middle + pose[:3, 3], turned[:3, :3] @ middle + turned[:3, 3])
    assert angle_deg(pose, turned) == pytest.approx(90)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)
