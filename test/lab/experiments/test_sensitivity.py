from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from attnchain_ros.backbone import backbone
from attnchain_ros.lab.experiments import sensitivity
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import BASELINES, names_of, select, succeeded


def test_one_denoising_serves_all_values(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = backbone.denoise_window

    def counted(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        return real(*arguments, **options)

    monkeypatch.setattr(backbone, "denoise_window", counted)
    monkeypatch.setitem(sensitivity.VALUES, "animation.landmarks", (12, 64))
    table = sensitivity.run(bench, Task("sensitivity", "test", 2))
    assert len(calls) == 1
    good, tried = succeeded(table)
    assert good == tried
    # The run's own value stands in every table, once, with the same figures.
    own = {
        "animation.landmarks": "24", "animation.k_nn": "120", "animation.sigma_landmark": "1.5",
        "animation.sigma_final": "1", "animation.outlier_floor": "0.05",
    }  # fmt: skip
    figures = [select(table, group=name, variant=value)["value"].to_numpy() for name, value in own.items()]
    assert all(np.array_equal(values, figures[0], equal_nan=True) and len(values) == 4 for values in figures)
    fewer = select(table, group="animation.landmarks", variant="12")["value"].to_numpy()
    assert not np.array_equal(fewer, figures[0], equal_nan=True)
    assert len(names_of(select(table, group=BASELINES), "variant")) == 3
    section = sensitivity.describe(bench, table)
    assert "### animation.k_nn" in section.lines and set(section.plots) == {"sensitivity"}
