from __future__ import annotations

import numpy as np
import pytest

from attnchain_ros.errors import ConfigError, InputError
from attnchain_ros.lab.evaluation import tapvid as fast
from attnchain_ros.lab.reference import tapvid as slow


def made_up(seed: int) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 256, (9, 6, 2))
    found = truth + rng.normal(size=truth.shape) * rng.choice([0.5, 3, 12], size=(9, 6, 1))
    visible = rng.random((9, 6)) < 0.7
    visible[0] = True
    found_visible = rng.random((9, 6)) < 0.7
    found[rng.random((9, 6)) < 0.1] = np.nan
    return found, found_visible, truth, visible, rng.integers(0, 7, 6)


@pytest.mark.parametrize("mode", fast.QUERY_MODES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_against_twin(mode: fast.QueryMode, seed: int) -> None:
    case = made_up(seed)
    found = fast.score_tapvid(*case, mode)
    aj, delta, oa = slow.score_tapvid(*case, mode)
    assert (found.aj, found.delta_avg, found.oa) == pytest.approx((aj, delta, oa), abs=1e-15)


def test_by_hand() -> None:
    """One track: query, exact, 1 px off (strict: not within 1 px), hidden but said to be seen, 3 px and denied."""
    truth = np.zeros((5, 1, 2))
    found = np.array([[[0.0, 0]], [[0, 0]], [[1, 0]], [[0, 0]], [[0, 3]]])
    visible = np.array([[1], [1], [1], [0], [1]], bool)
    said = np.array([[1], [1], [1], [1], [0]], bool)
    scores = fast.score_tapvid(found, said, truth, visible, np.array([0]))
    # Truly visible after the query: 3. Within 1 px: 1; 2 px: 2; 4, 8, 16 px: 3.
    assert scores.delta == pytest.approx((1 / 3, 2 / 3, 1, 1, 1))
    # TP: 1, 2, 2, 2, 2. FP: the hidden one, and at 1 px also the one that is not within.
    assert scores.jaccard == pytest.approx((1 / 5, 2 / 4, 2 / 4, 2 / 4, 2 / 4))
    assert scores.aj == pytest.approx((0.2 + 4 * 0.5) / 5)
    assert scores.delta_avg == pytest.approx((1 / 3 + 2 / 3 + 3) / 5)
    assert scores.oa == pytest.approx(2 / 4)


def test_modes_count_other_frames() -> None:
    found, said, truth, visible, _ = made_up(3)
    found[:4], said[:4] = np.nan, False
    late = np.full(6, 4)
    assert fast.score_tapvid(found, said, truth, visible, late, "first").oa > (
        fast.score_tapvid(found, said, truth, visible, late, "strided").oa
    )


def test_nothing_visible() -> None:
    truth = np.full((3, 2, 2), np.nan)
    hidden = np.zeros((3, 2), bool)
    scores = fast.score_tapvid(truth, hidden, truth, hidden, np.zeros(2, int))
    assert scores.aj is None and scores.delta_avg is None and scores.oa == 1.0
    with pytest.raises(InputError, match="no frame counts"):
        fast.score_tapvid(truth, hidden, truth, hidden, np.full(2, 2))
    with pytest.raises(InputError, match="without a position"):
        fast.score_tapvid(truth, hidden, truth, ~hidden, np.zeros(2, int))


def test_queries_by_hand() -> None:
    visible = np.zeros((12, 4), bool)
    visible[3:7, 0] = visible[0, 1] = visible[10, 1] = visible[5, 3] = True  # the third point is never shown
    point, frame = fast.choose_queries(visible, "first")
    assert (point.tolist(), frame.tolist()) == ([0, 1, 3], [3, 0, 5])
    # Frames 0, 5 and 10 ask: the first point is seen in the second of them.
    point, frame = fast.choose_queries(visible, "strided")
    assert (point.tolist(), frame.tolist()) == ([1, 0, 3, 1], [0, 5, 5, 10])


def test_unknown_mode() -> None:
    with pytest.raises(ConfigError, match="first, strided"):
        fast.choose_queries(np.ones((2, 2), bool), "second")  # type: ignore[arg-type]


def test_raster_stretches_the_picture() -> None:
    corners = np.array([[-0.5, -0.5], [639.5, 479.5]])
    assert fast.to_raster(corners, (480, 640)).tolist() == [[0, 0], [256, 256]]
    assert fast.to_raster(np.array([[319.5, 239.5]]), (480, 640), (384, 512)).tolist() == [[256, 192]]
