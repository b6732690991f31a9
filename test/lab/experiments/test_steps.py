from __future__ import annotations

from attnchain_ros.lab.experiments import steps
from attnchain_ros.lab.experiments.bench import BASELINE_TABLE, Bench, Task
from attnchain_ros.lab.experiments.rows import names_of, select


def test_every_number_of_steps_and_every_baseline(bench: Bench) -> None:
    rows = steps.run(bench, Task("steps", "test", 2))
    assert [row.failure for row in rows] == [""] * len(rows)
    own = select(rows, table="steps")
    assert names_of(own, "setting") == [str(number) for number in steps.STEPS]
    assert names_of(select(rows, table=BASELINE_TABLE), "setting") == [
        "mesh that stays still", "nearest surface point", "rigid ICP",
    ]  # fmt: skip
    assert all(row.figures["raw_cd_3d"] is not None for row in rows)
    assert len({row.figures["last_all"] for row in own}) == len(own)
    still = select(rows, setting="mesh that stays still")[0]
    assert 0 < (still.figures["last_all"] or 0) < 0.2  # four frames of a door
    section = steps.describe(bench, rows)
    assert any("The best setting by CD-3D is" in line for line in section.lines)
