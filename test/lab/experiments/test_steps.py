from __future__ import annotations

from attnchain_ros.lab.experiments import steps
from attnchain_ros.lab.experiments.bench import Bench, Task
from attnchain_ros.lab.table import BASELINES, mean_of, names_of, select, succeeded, values_of


def test_every_number_of_steps_and_every_baseline(bench: Bench) -> None:
    table = steps.run(bench, Task("steps", "test", 2))
    tried = len(steps.STEPS) + 3
    assert succeeded(table) == (tried, tried)
    own, others = select(table, group="steps"), select(table, group=BASELINES)
    assert names_of(own, "variant") == [str(number) for number in steps.STEPS]
    assert names_of(others, "variant") == ["mesh that stays still", "nearest surface point", "rigid ICP"]
    assert len(values_of(table, "raw_cd_3d")) == tried
    assert len(set(values_of(own, "last_all"))) == len(steps.STEPS)
    still = mean_of(select(table, variant="mesh that stays still"), "last_all")
    assert still is not None and 0 < still < 0.2  # four frames of a door
    section = steps.describe(bench, table)
    assert any(line.startswith("| CD-3D | ") for line in section.lines) and set(section.plots) == {"steps"}
