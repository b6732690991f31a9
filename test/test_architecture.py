"""docs/architecture.md shows the imports as they are, and the files that pages name exist."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "scripts" / "draw_architecture.py"


@pytest.fixture(scope="module")
def draw() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), "--check", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_drawing_is_up_to_date() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "source", "code"),
    [
        ("mesh/skinning.py", "from ..notes import Note", 0),  # no new arrow
        ("wire/fields.py", "def late():\n    from ..mesh import surface", 1),
        ("lab/synthetic/clip.py", "from ..cycle import cycle_errors", 1),
    ],
)
def test_a_new_arrow_is_noticed(file: str, source: str, code: int, tmp_path: Path) -> None:
    shutil.copytree(
        ROOT / "attnchain_ros", tmp_path / "attnchain_ros", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs" / "architecture.md", tmp_path / "docs")
    path = tmp_path / "attnchain_ros" / file
    path.write_text(f"{path.read_text('utf-8')}\n{source}\n", "utf-8")
    done = check(tmp_path)
    assert done.returncode == code, done.stderr
    assert ("run python scripts/draw_architecture.py" in done.stderr) == bool(code)


def test_arrows_that_a_longer_way_makes_are_left_out(draw: ModuleType) -> None:
    arrows = {name: frozenset(others) for name, others in {"a": "bcd", "b": "c", "c": "d", "d": ""}.items()}
    assert draw.ordered(arrows) == ["a", "b", "c", "d"]
    assert {name: set(others) for name, others in draw.reduced(arrows).items()} == {
        "a": {"b"},
        "b": {"c"},
        "c": {"d"},
        "d": set(),
    }
    gathered, inside = draw.gather(arrows, ["b", "c", "d"])
    assert inside == ["b", "c", "d"] and gathered == {"a": {draw.BOTTOM}, draw.BOTTOM: frozenset()}
    gathered, inside = draw.gather(arrows, ["b", "d"])
    assert inside == ["d"] and gathered["b"] == {"c"} and gathered["c"] == {draw.BOTTOM}


def test_a_circle_is_refused(draw: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"circle.*: a, b$"):
        draw.ordered({"a": frozenset("b"), "b": frozenset("ac"), "c": frozenset()})


def test_a_page_without_marks_is_refused(draw: ModuleType) -> None:
    with pytest.raises(SystemExit, match="once each"):
        draw.insert("# Architecture\n", {"layers": "drawing"})


# Pages that describe this checkout; results and findings are records of runs.
PAGES = ["README.md", "CONTRIBUTING.md", "examples/README.md", ".github/pull_request_template.md"]
PAGES += [
    f"docs/{name}.md"
    for name in (
        "architecture",
        "conventions",
        "evaluation",
        "failures",
        "method",
        "probe",
        "synthetic",
        "troubleshooting",
    )
]
# Where a path of a page may start. A bare file name may be anywhere in the package.
STARTS = ("", "attnchain_ros", "attnchain_ros/lab", "attnchain_ros/node", "docs")
RESULTS = {"demo_output/"}
PATH = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.py|(?:[a-z_]+/)+(?:[\w-]+\.md)?)`")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


NAME = re.compile(r"`([A-Za-z_][\w.]*)(?:\([^`]*\))?`")
BLOCK = re.compile(r"```.*?```", re.DOTALL)
# Names of other programs, of what somebody is to write, and one that is put together (``reset_{cause}``).
FOREIGN = {
    "net.core.rmem_max",
    "fastdds.type_propagation",
    "lab.reference.FILE.FUNCTION",
    "reset_gap",
    "reset_overload",
}


@pytest.fixture(scope="module")
def words() -> set[str]:
    """Every word of the sources: names of code, parameters, fields, topics and causes."""
    places = [path for folder in ("attnchain_ros", "msg", "srv", "launch") for path in (ROOT / folder).rglob("*")]
    texts = [path.read_text("utf-8") for path in places if path.suffix in (".py", ".msg", ".srv")]
    texts += [path.name for folder in ("", "examples", "requirements") for path in (ROOT / folder).iterdir()]
    return {word for text in texts for word in re.findall(r"\w+", text)}


def unknown(text: str, words: set[str]) -> list[str]:
    """Names that a page gives as code and that no source has."""
    names = (name for name in NAME.findall(BLOCK.sub("", text)) if name not in FOREIGN)
    return [name for name in names if not set(name.split(".")) - {""} <= words]


def absent(text: str, folder: Path) -> list[str]:
    """Files and folders that a page names and that are not there."""
    starts = [folder, *(ROOT / start for start in STARTS)]
    modules = {path.name for path in (ROOT / "attnchain_ros").rglob("*.py")}
    paths = [name for name in PATH.findall(text) if name not in modules | RESULTS]
    paths = [name for name in paths if not any((start / name).exists() for start in starts)]
    return paths + [link for link in LINK.findall(text) if not (folder / link).exists()]


@pytest.mark.parametrize("page", PAGES)
def test_what_pages_name_exists(page: str, words: set[str]) -> None:
    path = ROOT / page
    assert absent(path.read_text("utf-8"), path.parent) == []
    assert unknown(path.read_text("utf-8"), words) == []


def test_what_docstrings_name_exists() -> None:
    known = {str(path.relative_to(ROOT)) for path in ROOT.glob("*/**/*.py")}
    named = [
        (path, name)
        for path in sorted((ROOT / "attnchain_ros").rglob("*.py"))
        for name in re.findall(r"``((?:\w+/)*\w+\.py)``", path.read_text("utf-8"))
    ]
    assert len(named) > 5
    assert [pair for pair in named if not any(f"/{place}".endswith(f"/{pair[1]}") for place in known)] == []


def test_the_check_of_names_can_fail(words: set[str]) -> None:
    assert unknown("`Rollout.run(window)`, `Rollout.vanished`, `overflow_policy`, ``` `gone_too` ```", words) == [
        "Rollout.vanished"
    ]
    text = (
        "`chain/pairs.py` and `chain/cycle.py`, [here](docs/method.md#backbone), [there](docs/gone.md), `gone/`, `a/b`"
    )
    assert absent(text, ROOT) == ["chain/cycle.py", "gone/", "docs/gone.md"]
