"""chain.pairs: traced pairs known by construction, the selection rules one by one, fast code against twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from attnchain_ros.chain.pairs import Pairs, trace_pairs
from attnchain_ros.config import ReinforceConfig
from attnchain_ros.errors import ShapeError
from attnchain_ros.lab.reference import pairs as twin

ALL = ReinforceConfig(drop_quantile=0.0)


def as_dict(pairs: Pairs) -> dict[tuple[int, int], float]:
    keys = zip(pairs.anchor_token.tolist(), pairs.frame_token.tolist(), strict=True)
    return dict(zip(keys, pairs.gain.tolist(), strict=True))


def random_case(rng: np.random.Generator, landmarks: int, tokens: int) -> list[torch.Tensor]:
    sizes = (landmarks, tokens, landmarks)
    maps = [torch.from_numpy(rng.normal(size=(rows, tokens)) * 3).softmax(1).float() for rows in sizes]
    confidence = torch.from_numpy(rng.uniform(size=landmarks)).float()
    return [*maps, confidence, torch.from_numpy(rng.uniform(size=landmarks) > 0.2)]


def test_one_hot_chain_is_traced_exactly() -> None:
    perm = torch.tensor([2, 0, 3, 1])
    confidence = torch.tensor([0.4, 0.3, 0.2, 0.1])
    eye = torch.eye(4)
    config = ReinforceConfig(drop_quantile=0.0, confidence_quantile=1.0)
    pairs = trace_pairs(eye, eye[perm], eye[perm], confidence, torch.ones(4, dtype=torch.bool), config)
    assert pairs.anchor_token.tolist() == [0, 1, 2, 3] and pairs.frame_token.tolist() == perm.tolist()
    np.testing.assert_allclose(pairs.gain, [1.0, 0.75, 0.5, 0.25], rtol=1e-6)


def test_weakest_link_loses() -> None:
    """Token 0 is looked at most, but the path through token 1 carries more."""
    pairs = trace_pairs(
        torch.tensor([[0.6, 0.4]]), torch.tensor([[0.9, 0.1], [0.2, 0.8]]), torch.tensor([[0.1, 0.9]]),
        torch.ones(1), torch.ones(1, dtype=torch.bool), ALL,
    )  # fmt: skip
    # 0.6 * 0.9 * 0.1 = 0.054, 0.6 * 0.1 * 0.9 = 0.054, 0.4 * 0.2 * 0.1 = 0.008, 0.4 * 0.8 * 0.9 = 0.288
    assert as_dict(pairs) == {(1, 1): 1.0}


@pytest.mark.parametrize("landmarks, tokens", [(1, 1), (2, 5), (17, 9), (40, 6)])
@pytest.mark.parametrize("top", [1, 3, 32])
def test_against_twin(landmarks: int, tokens: int, top: int) -> None:
    case = random_case(np.random.default_rng(landmarks * 100 + top), landmarks, tokens)
    config = ReinforceConfig(top=top)
    fast = as_dict(trace_pairs(*case, config))
    slow = twin.trace_pairs(*(item.numpy() for item in case), config)
    assert fast.keys() == slow.keys()
    for key, gain in slow.items():
        assert fast[key] == pytest.approx(gain, abs=1e-6)  # one float32 division


def test_lowest_quarter_and_invalid_landmarks_are_left_out() -> None:
    eye = torch.eye(8)
    confidence = torch.tensor([0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.9])
    valid = torch.tensor([True] * 7 + [False])
    pairs = trace_pairs(eye, eye, eye, confidence, valid, ReinforceConfig(drop_quantile=0.25))
    assert pairs.anchor_token.tolist() == [0, 1, 2, 3, 4, 5]  # 7 * 0.25 rounds down to 1; number 7 is invalid
    config = ReinforceConfig(drop_quantile=2 / 7)
    assert trace_pairs(eye, eye, eye, confidence, valid, config).anchor_token.tolist() == [0, 1, 2, 3, 4]


def test_shared_pair_takes_the_largest_gain() -> None:
    maps = torch.eye(3)[torch.tensor([1, 1, 2])]
    confidence = torch.tensor([0.2, 0.4, 0.1])
    pairs = trace_pairs(
        maps, torch.eye(3), maps, confidence, torch.ones(3, dtype=torch.bool),
        ReinforceConfig(drop_quantile=0.0, confidence_quantile=1.0),
    )  # fmt: skip
    assert as_dict(pairs) == {(1, 1): 1.0, (2, 2): pytest.approx(0.25)}


def test_nothing_to_trace_gives_no_pairs() -> None:
    eye, valid = torch.eye(3), torch.ones(3, dtype=torch.bool)
    assert len(trace_pairs(eye, eye, eye, torch.ones(3), ~valid, ALL).gain) == 0
    assert len(trace_pairs(eye, eye, eye, torch.zeros(3), valid, ALL).gain) == 0
    assert len(trace_pairs(eye, eye * 0, eye, torch.ones(3), valid, ALL).gain) == 0


def test_order_of_landmarks_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    case = random_case(rng, 30, 8)
    order = torch.from_numpy(rng.permutation(30))
    shuffled = [case[0][order], case[1], case[2][order], case[3][order], case[4][order]]
    assert as_dict(trace_pairs(*case, ReinforceConfig())) == as_dict(trace_pairs(*shuffled, ReinforceConfig()))


def test_half_precision_is_accepted() -> None:
    case = random_case(np.random.default_rng(8), 10, 6)
    halved = [item.bfloat16() for item in case[:3]]
    widened = [item.float() for item in halved]
    assert as_dict(trace_pairs(*halved, *case[3:], ALL)) == as_dict(trace_pairs(*widened, *case[3:], ALL))


def test_bad_input_is_named() -> None:
    with pytest.raises(ShapeError, match="confidence has shape"):
        trace_pairs(torch.eye(3), torch.eye(3), torch.eye(3), torch.ones(2), torch.ones(3, dtype=torch.bool), ALL)
