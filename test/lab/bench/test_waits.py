"""What would wait for a GPU is noted on the CPU as well, by the place in the package."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch

from attnchain_ros.lab.bench.waits import Waits
from attnchain_ros.mesh.smoothing import smooth_displacements

CPU = torch.device("cpu")
ONE, MANY = torch.tensor(2.0), torch.arange(6.0)


@pytest.mark.parametrize(
    "work",
    [
        lambda: ONE.item(),
        lambda: float(ONE),
        lambda: bool(ONE > 1),
        lambda: MANY.tolist(),
        lambda: MANY.cpu(),
        lambda: MANY.numpy(),
        lambda: MANY.nonzero(),
        lambda: torch.where(MANY > 2),
        lambda: MANY[MANY > 2],
        lambda: MANY.clone().__setitem__(MANY > 2, torch.zeros(3)),
        lambda: MANY.unique(),
        lambda: torch.repeat_interleave(MANY, torch.full((6,), 2)),
        lambda: MANY.to(CPU),
        lambda: MANY.to(ONE),
        lambda: MANY.to("cpu", torch.float64),
        lambda: torch.as_tensor(MANY, device=CPU),
        lambda: torch.equal(MANY, MANY),
    ],
)
def test_what_looks_at_values_or_moves_them_waits_once(work: Callable[[], object]) -> None:
    with Waits(CPU) as found:
        work()
    assert found.places == {"elsewhere": 1}, "a test is no part of the package"


@pytest.mark.parametrize(
    "work",
    [
        lambda: MANY + ONE,
        lambda: MANY[2:],
        lambda: MANY[torch.tensor([1, 2])],
        lambda: torch.where(MANY > 2, MANY, ONE),
        lambda: MANY.clone().__setitem__(MANY > 2, 0.0),
        lambda: MANY.to(torch.float64),
        lambda: MANY.repeat_interleave(2),
        lambda: MANY.sum().max(),
        lambda: MANY.shape[0] + MANY.numel(),
    ],
)
def test_what_only_goes_into_the_queue_does_not(work: Callable[[], object]) -> None:
    with Waits(CPU) as found:
        work()
    assert not found.places


def test_a_place_is_named_by_module_and_function() -> None:
    places = torch.zeros(2, 3, 3)
    with Waits(CPU) as found:
        smooth_displacements(places[0], places, torch.ones(2, 3, dtype=torch.bool), 0, 1.0)
    assert found.places and {name.rpartition(".")[0] for name in found.places} == {"mesh.smoothing"}
    assert "mesh.smoothing.smooth_displacements" in found.places


def test_on_cuda_it_is_torchs_own_warning_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[object] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    before = warnings.showwarning, list(warnings.filters)
    with pytest.raises(ValueError, match="ends"), Waits(torch.device("cuda")) as found:
        for _ in range(2):  # a warning counts each time, not only the first
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)
        MANY.tolist()  # on the host already
        raise ValueError("whatever ends it, all is put back")
    assert found.places == {"elsewhere": 2} and modes == ["warn", 0]
    assert (warnings.showwarning, list(warnings.filters)) == before
