"""Garbage at every reader for the better part of a minute; ``fuzz/hunt.py`` goes on for as long as one likes."""

from __future__ import annotations

from pathlib import Path

import pytest
from fuzz import broken
from fuzz.hunt import KINDS, Case, Read, Reader, hunt, make_seeds, read_case
from fuzz.seeds import inputs

from attnchain_ros.files.meshes import read_mesh

pytestmark = pytest.mark.slow
SECONDS = 40.0
LEAST = 15
"""Cases of each kind, however slow the machine is."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_seeds(tmp_path_factory.mktemp("fuzz") / "good")


def test_garbage_gives_a_result_or_an_error_that_names_the_file(good: Path) -> None:
    found = list(hunt(good, SECONDS, least=LEAST))
    faults = [f"{fault.kind} {fault.number} ({fault.story}): {fault.text}" for fault in found if fault is not None]
    assert not faults, "\n".join(faults)
    assert len(found) >= LEAST * len(KINDS)


def test_what_is_not_spoiled_is_read(good: Path) -> None:
    """Else the hunt would look at refusals only."""
    from fuzz.reading import clip, reader_of

    for kind in KINDS[:-1]:
        for path in inputs(kind, good / kind):
            # Other programs' GLB are not read as results of ours are.
            (read_mesh if path.name == "box.glb" else reader_of(kind, path))(path)
    for path in inputs("videos", good / "videos"):
        clip(good / "videos" / "plain.mp4", path)


def test_a_case_is_the_same_every_time(good: Path, tmp_path: Path) -> None:
    first, again = (Case("meshes", 7, good, tmp_path / side / "in") for side in "ab")
    assert first.story == again.story and first.path.name == again.path.name
    contents = [sorted((p.name, p.read_bytes()) for p in case.path.parent.iterdir()) for case in (first, again)]
    assert contents[0] == contents[1]
    assert read_case(first) == read_case(again)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (broken.raises, "KeyError: 'POSITION'"),
        (broken.names_nothing, "the error names no file: FileFormatError: the file is damaged"),
        (broken.names_it, None),
        (broken.hangs, "no answer within 5 s"),
        (broken.crashes, "the process ended with -6"),
        (broken.takes_all, "MemoryError"),
    ],
)
def test_the_hunt_notices(good: Path, read: Read, said: str | None) -> None:
    reader = Reader(good, read, 5.0)
    try:
        for number in (3, 4):  # a new process takes the next case
            fault = reader.read("images", number)
            assert (fault is None) if said is None else (fault is not None and said in fault.text)
            assert fault is None or fault.story.partition(":")[0].partition(" ")[0] in "a.png b.jpg c.webp d.png e.png"
    finally:
        reader.close()
