"""Memory figures while another thread is still importing torch."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from attnchain_ros.node.statistics import memory_mb


def test_a_half_imported_torch_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    half = ModuleType("torch")
    monkeypatch.setitem(sys.modules, "torch", half)
    assert set(memory_mb()) == {"peak", "resident"}
    half.cuda = ModuleType("torch.cuda")
    assert set(memory_mb()) == {"peak", "resident"}


def test_memory_of_a_gpu_is_told_once_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used = SimpleNamespace(is_initialized=lambda: True, memory_allocated=lambda: 3 * 2**20)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=used))
    assert memory_mb()["gpu"] == 3.0
