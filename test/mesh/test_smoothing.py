import numpy as np
import pytest
import torch

from attnchain_ros.config import AnimationConfig
from attnchain_ros.errors import InputError, ShapeError
from attnchain_ros.lab.reference import smoothing as twin
from attnchain_ros.mesh import smoothing

CONFIG = AnimationConfig()


def random_case(rng, frames=9, landmarks=7, gaps=0.4):
    anchor = rng.normal(size=(landmarks, 3))
    raw = anchor + 0.3 * rng.normal(size=(frames, landmarks, 3))
    return anchor, raw, rng.random((frames, landmarks)) > gaps


def smooth(anchor, raw, valid, anchor_index, sigma, history=None):
    past = None if history is None else (torch.from_numpy(history[0]), torch.from_numpy(history[1]))
    tensors = (torch.from_numpy(np.asarray(a)) for a in (anchor, raw, valid))
    return smoothing.smooth_displacements(*tensors, anchor_index, sigma, past).numpy()


@pytest.mark.parametrize("sigma", [0.0, 0.3, 1.0, 1.5])
@pytest.mark.parametrize("anchor_index", [0, 4])
@pytest.mark.parametrize("past", [0, 5])
def test_smoothing_equals_twin(rng, sigma, anchor_index, past):
    anchor, raw, valid = random_case(rng)
    history = (0.3 * rng.normal(size=(past, 7, 3)), rng.random((past, 7)) > 0.4) if past else None
    fast = smooth(anchor, raw, valid, anchor_index, sigma, history)
    slow = twin.smooth_displacements(anchor, raw, valid, anchor_index, sigma, history)
    assert np.abs(fast - slow).max() < 1e-12  # float64, sums of at most 14 terms of size 1


def test_long_gaps_equal_twin(rng):
    anchor, raw, valid = random_case(rng, frames=30, gaps=0.9)
    fast, slow = smooth(anchor, raw, valid, 12, 1.0), twin.smooth_displacements(anchor, raw, valid, 12, 1.0)
    assert np.abs(fast - slow).max() < 1e-12


def test_anchor_frame_comes_back_exactly(rng):
    anchor, raw, valid = random_case(rng)
    raw[3], valid[3] = np.nan, False
    assert (smooth(anchor, raw, valid, 3, 1.5)[3] == anchor).all()


def test_constant_displacement_is_kept_but_for_the_anchors_pull(rng):
    anchor, _, _ = random_case(rng)
    raw = np.repeat(anchor[None] + [0.1, 0.2, 0.3], 16, axis=0)
    valid = rng.random((16, 7)) > 0.3
    result = smooth(anchor, raw, valid, 0, 1.5)
    # Beyond ceil(3 sigma) = 5 frames the anchor has no say, nor have gaps.
    assert np.abs(result[6:] - raw[6:]).max() < 1e-12
    assert np.abs(result[1] - raw[1]).max() > 1e-3


def test_still_landmarks_stay_exactly(rng):
    anchor, _, valid = random_case(rng)
    result = smooth(anchor, np.repeat(anchor[None], 9, axis=0), valid, 0, 1.5)
    assert (result == anchor).all()


def test_gap_is_crossed_linearly_in_time():
    anchor = np.zeros((1, 3))
    raw = np.full((21, 1, 3), np.nan)
    raw[20] = 1.0
    valid = np.zeros((21, 1), bool)
    valid[20] = True
    result = smooth(anchor, raw, valid, 0, 1.0)[:, 0, 0]
    # Frames 0..3 see only the anchor, 17..20 only the last frame; between 3 and 17 the value rises by 1/14 a frame.
    expected = np.clip((np.arange(21) - 3) / 14, 0, 1)
    assert np.abs(result - expected).max() < 1e-12


def test_end_without_valid_frames_holds_the_last():
    anchor, raw = np.zeros((1, 3)), np.full((12, 1, 3), np.nan)
    raw[1] = 1.0
    valid = np.zeros((12, 1), bool)
    valid[1] = True
    result = smooth(anchor, raw, valid, 0, 0.0)[:, 0, 0]
    assert result.tolist() == [0.0] + [1.0] * 11


def test_history_makes_windows_one_sequence(rng):
    # A sequence cut in two, both measured from the same rest pose, without pinning in the part compared.
    anchor, raw, valid = random_case(rng, frames=24, gaps=0.2)
    whole = smooth(anchor, raw, valid, 0, 1.5)
    history = (raw[7:12] - anchor, valid[7:12])
    second = smooth(anchor, raw[12:], valid[12:], 11, 1.5, history)
    # Up to frame 12 + 11 - 5 the second window's own anchor frame has no say.
    assert np.abs(second[:6] - whole[12:18]).max() < 1e-12
    assert np.abs(smooth(anchor, raw[12:], valid[12:], 11, 1.5)[:3] - whole[12:15]).max() > 1e-3


def test_outliers_equal_twin(rng):
    anchor, raw, _ = random_case(rng, frames=12, landmarks=31)
    raw = anchor + (raw - anchor) * rng.choice([0.01, 0.3, 3, 10], size=(12, 31, 1))
    raw[2, 5], raw[3] = np.nan, np.nan
    for diagonal in (0.5, 3.0, 20.0):
        tensors = torch.from_numpy(anchor), torch.from_numpy(raw)
        fast = smoothing.reject_outliers(*tensors, 6, CONFIG, diagonal).numpy()
        slow = twin.reject_outliers(anchor, raw, 6, CONFIG, diagonal)
        assert (fast == slow).all()
        assert slow.any() and not slow.all()
    assert fast[6].all() and not fast[2, 5] and not fast[3].any()


def test_moving_part_of_a_static_object_is_kept():
    anchor = torch.zeros(100, 3)
    raw = torch.zeros(3, 100, 3)
    raw[1:, :10, 0] = 0.049  # a drawer: far above 5 medians (0), below 5 % of the diagonal
    raw[2, :10, 0] = 0.06
    valid = smoothing.reject_outliers(anchor, raw, 0, CONFIG, 1.0)
    assert valid[:2].all() and not valid[2, :10].any() and valid[2, 10:].all()


def test_everything_moving_far_is_refused_all_the_same():
    raw = torch.full((2, 5, 3), 0.4)  # length 0.69
    assert smoothing.reject_outliers(torch.zeros(5, 3), raw, 0, CONFIG, 1.0)[1].sum() == 0
    assert smoothing.reject_outliers(torch.zeros(5, 3), raw, 0, CONFIG, 1.5).all()


def test_keep_equals_twin(rng):
    config = AnimationConfig(keep_landmarks=3)
    counts, components = rng.integers(0, 21, 60), rng.integers(0, 4, 60)
    counts[components == 2] = np.minimum(counts[components == 2], 10)
    fast = smoothing.keep_landmarks(counts, 20, components, config).numpy()
    assert (fast == twin.keep_landmarks(counts, 20, components, config)).all()
    assert fast[components == 2].sum() == 3
    assert fast[counts >= 19].all()  # 19 of 20 is 95 %


def test_bad_input_is_refused():
    anchor, raw, valid = torch.zeros(4, 3), torch.zeros(3, 4, 3), torch.ones(3, 4, dtype=torch.bool)
    with pytest.raises(ShapeError, match="K=4"):
        smoothing.smooth_displacements(anchor, raw[:, :2], valid, 0, 1.0)
    with pytest.raises(InputError, match="anchor frame is 3"):
        smoothing.smooth_displacements(anchor, raw, valid, 3, 1.0)
    with pytest.raises(InputError, match="not finite"):
        smoothing.smooth_displacements(anchor, raw / 0, valid, 0, 1.0)
    with pytest.raises(InputError, match="up to 9 of 8"):
        smoothing.keep_landmarks(torch.tensor([9]), 8, torch.tensor([0]), CONFIG)
    with pytest.raises(InputError, match="diagonal"):
        smoothing.reject_outliers(anchor, raw, 0, CONFIG, 0.0)
