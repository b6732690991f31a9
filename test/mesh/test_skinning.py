import numpy as np
import pytest
import torch

from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import skinning as twin
from attnchain_ros.mesh import skinning
from attnchain_ros.mesh.geodesic import SkinningWeights, skinning_weights
from attnchain_ros.mesh.landmarks import pick_landmarks


def assert_proper(rotations: np.ndarray, tolerance: float = 1e-12):
    eye = np.eye(3)
    assert np.abs(rotations @ np.swapaxes(rotations, -1, -2) - eye).max() < tolerance
    assert np.abs(np.linalg.det(rotations) - 1).max() < tolerance


def fast_rotations(covariance: np.ndarray) -> np.ndarray:
    return skinning.procrustes_rotations(torch.from_numpy(covariance)).numpy()


def random_rotations(rng, count):
    quaternions = torch.nn.functional.normalize(torch.from_numpy(rng.normal(size=(count, 4))), dim=1)
    w, x, y, z = quaternions.numpy().T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def with_singular_values(rng, count, sizes):
    return np.einsum(
        "nij,j,nkj->nik", random_rotations(rng, count), np.asarray(sizes, float), random_rotations(rng, count)
    )


@pytest.mark.parametrize(
    ("sizes", "tolerance"),
    [
        # Rounding of 1e-16 is magnified by s1 / (s2 + s3), signs included: that sets each tolerance.
        ((1, 0.7, 0.3), 1e-12),
        ((1, 1, 1), 1e-12),
        ((1e-9, 7e-10, 3e-10), 1e-12),
        ((1e6, 7e5, 3e5), 1e-12),
        ((1, 0.5, 0), 1e-12),  # planar
        ((1, 1, 0), 1e-12),
        ((1, 0.01, 0.001), 1e-10),  # thin arm
        ((1, 1e-4, 1e-5), 1e-9),  # wire
        ((1, 1e-6, 0), 1e-7),
        ((1, 0.5, -0.2), 1e-12),  # mirrored
        ((1, 0.5, -0.45), 1e-11),  # nearly ambiguous
        ((1, 0.5, -0.4999), 1e-8),
        ((1, 1, -0.9), 1e-11),
    ],
)
def test_rotations_equal_an_svd(rng, sizes, tolerance):
    covariance = with_singular_values(rng, 200, sizes)
    fast = fast_rotations(covariance)
    assert_proper(fast)
    slow = np.array([twin.procrustes_rotations(c) for c in covariance])
    assert np.abs(fast - slow).max() < tolerance


@pytest.mark.parametrize("sizes", [(1, 0.5, -0.5), (1, 1, -1), (1, 1e-3, -1e-3), (1, 0.5, -0.4999999999)])
def test_ambiguous_covariances_get_one_of_the_best_rotations(rng, sizes):
    covariance = with_singular_values(rng, 200, sizes)
    fast = fast_rotations(covariance)
    assert_proper(fast)
    # The best attainable trace is s1 + s2 + s3 (signs included), whichever rotation attains it.
    assert np.abs(np.einsum("nij,nji->n", fast, covariance) - sum(sizes)).max() < 1e-9


@pytest.mark.parametrize("matrix", [np.zeros((3, 3)), np.outer([1, 2, 3], [3, -1, 2.0]), np.full((3, 3), np.nan)])
def test_lines_points_and_nans_get_the_identity(matrix):
    assert (fast_rotations(matrix[None]) == np.eye(3)).all()


def test_dtype_and_leading_axes(rng):
    covariance = torch.from_numpy(with_singular_values(rng, 6, (1, 0.5, 0.3)).reshape(2, 3, 3, 3)).float()
    rotations = skinning.procrustes_rotations(covariance)
    assert rotations.shape == (2, 3, 3, 3) and rotations.dtype == torch.float32
    assert_proper(rotations.double().numpy(), 1e-6)


def skin(rest, rest_landmarks, now, weights):
    tensors = (torch.from_numpy(np.asarray(a, np.float32)) for a in (rest, rest_landmarks, now))
    return skinning.skin_vertices(*tensors, weights).numpy()


def random_weights(rng, vertices, landmarks, near):
    index = np.array([rng.choice(landmarks, near, replace=False) for _ in range(vertices)])
    weight = rng.random((vertices, near)).astype(np.float32) + 0.1
    return SkinningWeights(index, weight / weight.sum(axis=1, keepdims=True))


def dense(weights, landmarks):
    full = np.zeros((len(weights.index), landmarks))
    np.add.at(full, (np.arange(len(full))[:, None], weights.index), weights.weight)
    return full


def test_skinning_equals_twin(rng):
    rest, landmarks = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=(12, 3)).astype(np.float32)
    now = (landmarks + 0.5 * rng.normal(size=(5, 12, 3)) + 3).astype(np.float32)
    weights = random_weights(rng, 40, 12, 5)
    # Computed in float64, rounded to float32 at the end: half a unit in the last place at 8 is 2.4e-7.
    assert (
        np.abs(skin(rest, landmarks, now, weights) - twin.skin_vertices(rest, landmarks, now, dense(weights, 12))).max()
        < 1e-6
    )


def test_chunks_do_not_change_the_result(rng, monkeypatch):
    rest, landmarks = rng.normal(size=(40, 3)), rng.normal(size=(12, 3))
    now, weights = landmarks + 0.5 * rng.normal(size=(5, 12, 3)), random_weights(rng, 40, 12, 5)
    whole = skin(rest, landmarks, now, weights)
    monkeypatch.setattr(skinning, "CHUNK_ELEMENTS", 60 * 7)
    # Matrix products of other sizes may sum in another order.
    assert np.abs(skin(rest, landmarks, now, weights) - whole).max() < 1e-6


@pytest.mark.parametrize("degrees", [0, 1e-3, 30, 90, 179.9, 180])
def test_rigid_motion_is_recovered(sphere, rng, rotation, degrees):
    vertices, faces = sphere(2)
    vertices = vertices * np.float32([1, 0.6, 0.3])
    places = pick_landmarks(vertices, faces, 40, 2.0)
    weights = skinning_weights(vertices, faces, places, 12, 2.0)
    turns = np.array([rotation(rng.normal(size=3), np.radians(degrees)) for _ in range(4)])
    moved = vertices @ np.swapaxes(turns, 1, 2) + rng.normal(size=(4, 1, 3))
    assert np.abs(skin(vertices, vertices[places], moved[:, places], weights) - moved).max() < 1e-5


def test_bent_bar_keeps_its_thickness(bar):
    vertices, faces = bar(2.0, 41)
    places = pick_landmarks(vertices, faces, 150, 2.0)
    weights = skinning_weights(vertices, faces, places, 12, 1.0)
    # Bend the axis of length 2 into an arc of 90 degrees.
    radius = 2.0 / (np.pi / 2)
    angle = vertices[:, 0].astype(np.float64) / radius
    out = radius - vertices[:, 1]
    bent = np.stack([out * np.sin(angle), radius - out * np.cos(angle), vertices[:, 2]], axis=1)
    result = skin(vertices, vertices[places], bent[None, places], weights)[0]
    # Measured 0.009: neighbourhoods of about 0.2 length on an arc of radius 1.27 are not quite rigid.
    assert np.abs(result - bent).max() < 0.015
    # Volume through the divergence theorem; the true bend keeps it (Pappus).
    corners = result.astype(np.float64)[faces]
    volume = np.einsum("ti,ti->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    assert volume == pytest.approx(2.0 * 0.2 * 0.2, rel=0.03)


def test_motion_does_not_leak_across_a_gap(bar):
    # A bar folded into a hairpin: two legs 0.02 apart that meet far away only. One leg's end swings, the other rests.
    vertices, faces = bar(4.0, 81)
    along, side = vertices[:, 0].astype(np.float64), vertices[:, 1].astype(np.float64)
    turn = np.clip((along - 1.8) / 0.4, 0, 1) * np.pi
    folded = np.stack(
        [
            np.where(along < 1.8, along, np.where(along > 2.2, 4.0 - along, 1.8 + 0.2 * np.sin(turn / 2))),
            np.where(along < 2.0, side, 0.22 - side),
            vertices[:, 2],
        ],
        axis=1,
    ).astype(np.float32)
    places = pick_landmarks(folded, faces, 200, 0.0)
    weights = skinning_weights(folded, faces, places, 30, 2.0)
    moving = along < 0.6
    now = folded.copy()
    now[moving, 1] -= 0.5
    result = skin(folded, folded[places], now[None, places], weights)[0]
    still = along > 2.2
    near = folded[moving][:, None] - folded[still][None]
    assert np.linalg.norm(near, axis=2).min() < 0.05  # the legs do almost touch
    assert np.abs(result[still] - folded[still]).max() < 1e-6  # float32 rounding
    assert np.abs(result[along < 0.2] - now[along < 0.2]).max() < 1e-5


def test_order_of_landmarks_does_not_matter(rng):
    rest, landmarks = rng.normal(size=(40, 3)), rng.normal(size=(12, 3))
    now, weights = landmarks + 0.5 * rng.normal(size=(5, 12, 3)), random_weights(rng, 40, 12, 5)
    order = rng.permutation(12)
    shuffled = SkinningWeights(np.argsort(order)[weights.index], weights.weight)
    a = skin(rest, landmarks, now, weights)
    b = skin(rest, landmarks[order], now[:, order], shuffled)
    assert np.abs(a - b).max() < 1e-6  # float32 output


def test_collinear_landmarks_only_shift(rng):
    rest, landmarks = rng.normal(size=(5, 3)), np.outer(np.arange(4.0), [1, 0, 0])
    now = np.outer(np.arange(4.0), [0, 1, 0])[None] + 2
    weights = SkinningWeights(np.tile(np.arange(4), (5, 1)), np.full((5, 4), 0.25, np.float32))
    result = skin(rest, landmarks, now, weights)[0]
    assert np.abs(result - (rest + now[0].mean(axis=0) - landmarks.mean(axis=0))).max() < 1e-6


def test_mirrored_landmarks_do_not_turn_the_mesh_inside_out(rng):
    landmarks = rng.normal(size=(20, 3))
    weights = SkinningWeights(np.tile(np.arange(20), (8, 1)), np.full((8, 20), 0.05, np.float32))
    rest = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]] * 2, float)
    a, b, c, d = skin(rest, landmarks, (landmarks * [-1, 1, 1])[None], weights)[0, :4]
    assert np.linalg.det(np.stack([b - a, c - a, d - a])) == pytest.approx(1, abs=1e-5)


def test_bad_input_is_refused(rng):
    weights = SkinningWeights(np.array([[0, 9]]), np.array([[0.5, 0.5]], np.float32))
    with pytest.raises(InputError, match="landmark 9"):
        skin(np.zeros((1, 3)), np.zeros((4, 3)), np.zeros((2, 4, 3)), weights)
    with pytest.raises(ShapeError, match=r"weights\.index"):
        skin(np.zeros((2, 3)), np.zeros((4, 3)), np.zeros((2, 4, 3)), weights)
    with pytest.raises(InputError, match="not finite"):
        skin(np.zeros((1, 3)), np.zeros((10, 3)), np.full((2, 10, 3), np.nan), weights)
    with pytest.raises(ShapeError, match="index"):
        SkinningWeights(np.zeros((2, 3), np.int64), np.zeros((2, 4), np.float32))
