from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from attnchain_ros.lab.evaluation.records import spread
from attnchain_ros.lab.evaluation.report import make_table, write_report
from attnchain_ros.lab.evaluation.scores import MotionScores
from attnchain_ros.lab.evaluation.synthetic import ClipOutcome


def scores(last: float | None, still: float | None) -> MotionScores:
    values = {item.name: 1.0 for item in dataclasses.fields(MotionScores)}
    return MotionScores(**{**values, "last_moved": last, "still_last_moved": still, "true_still_last_moved": still})


OUTCOMES = [
    ClipOutcome(0, 100, "given", scores(0.1, 0.4), seconds=(9.0, 2.0)),
    ClipOutcome(0, 100, "image", None, "SurfaceError: no surface"),
    ClipOutcome(1, 101, "given", scores(0.3, 0.4), seconds=(9.0, 4.0)),
    ClipOutcome(2, 102, "given", scores(None, None), seconds=(5.0,)),
]


def test_spread_by_hand() -> None:
    found = spread([2.0, 4.0, None, 6.0])
    assert found is not None and (found.mean, found.deviation, found.count) == (4.0, 2.0, 3)
    assert spread([None]) is None and spread([]) is None


def test_table_by_hand() -> None:
    given, image = make_table(OUTCOMES)
    assert (given.anchor, given.clips, given.succeeded, given.failures) == ("given", 3, 3, ())
    assert given.ratios["last_moved"] == pytest.approx(0.4 / 0.8)  # the clip where nothing moved has no say
    assert given.figures["last_moved"] is not None and given.figures["last_moved"].count == 2
    assert given.seconds is not None and given.seconds.mean == pytest.approx((2 + 4 + 5) / 3)
    assert (image.clips, image.succeeded) == (1, 0)
    assert image.failures == ("clip 0: SurfaceError: no surface",)
    assert image.ratios["last_moved"] is None


def test_files_tell_all(tmp_path: Path) -> None:
    text = write_report(tmp_path / "new", OUTCOMES, {"checksum": "abc123", "seed": 5, "config": {"a": 1}})
    assert text == (tmp_path / "new" / "errors.md").read_text(encoding="utf-8")
    for part in ("- checksum: abc123", "- seed: 5", "3 of 3 | 0 of 1", "**0.500** | -", "clip 0: SurfaceError"):
        assert part in text
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {4}
    data = json.loads((tmp_path / "new" / "errors.json").read_text(encoding="utf-8"))
    assert data["identity"]["checksum"] == "abc123"
    assert len(data["outcomes"]) == 4 and data["outcomes"][1]["scores"] is None
    assert data["outcomes"][2]["scores"]["last_moved"] == 0.3
