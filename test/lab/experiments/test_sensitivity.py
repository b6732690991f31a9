from __future__ import annotations

from typing import Any

import pytest

from attnchain_ros.backbone import backbone
from attnchain_ros.lab.experiments import sensitivity
from attnchain_ros.lab.experiments.bench import BASELINE_TABLE, Bench, Task
from attnchain_ros.lab.experiments.rows import select


def test_one_denoising_serves_all_values(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = backbone.denoise_window

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(backbone, "denoise_window", counted)
    monkeypatch.setitem(sensitivity.VALUES, "animation.landmarks", (12, 64))
    rows = sensitivity.run(bench, Task("sensitivity", "test", 2))
    assert len(calls) == 1
    assert [row.failure for row in rows] == [""] * len(rows)
    # The run's own value stands in every table, once, with the same figures.
    own = {
        "animation.landmarks": "24", "animation.k_nn": "120", "animation.sigma_landmark": "1.5",
        "animation.sigma_final": "1", "animation.outlier_floor": "0.05",
    }  # fmt: skip
    figures = [row.figures for name, value in own.items() for row in select(rows, table=name, setting=value)]
    assert len(figures) == 5 and all(values == figures[0] for values in figures)
    fewer = select(rows, table="animation.landmarks", setting="12")[0]
    assert fewer.figures != figures[0]
    assert len(select(rows, table=BASELINE_TABLE)) == 3
    section = sensitivity.describe(bench, rows)
    assert "### animation.k_nn" in section.lines and set(section.plots) == {"sensitivity"}
