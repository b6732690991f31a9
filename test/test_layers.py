"""Folders are layers: arrows between them point down only, and the core runs without ROS."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "attnchain_ros"
# Everything that comes with ROS 2: what the core must not import, neither directly nor through something else.
ROS = ("rclpy", "cv_bridge", "sensor_msgs", "std_msgs", "geometry_msgs", "tf2_ros", "tf2_msgs", "launch")
# The programs that run on ROS: the node, and the demonstration that starts it and listens to it. The rest is the core.
ON_ROS = (("node",), ("lab", "demo"))
BOTTOM = ("config", "conventions", "errors", "notes", "shapes", "workers")
# The layers below the rollout; none of them knows of files on disk, commands, nodes or training.
PURE = ("backbone", "chain", "mesh", "camera", "parts", "reference")
ABOVE_PURE = ("rollout", "files", "cli", "node", "lab")


def module_name(path: Path) -> str:
    """Dotted name of a module file of the package."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def core_modules() -> list[str]:
    """Every module but those of the programs on ROS, and the ``__main__`` that would run something."""
    found = (path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__main__.py")
    return [module_name(path) for path in found if not on_ros(path)]


def on_ros(path: Path) -> bool:
    """Whether a module belongs to a program that runs on ROS."""
    parts = path.relative_to(PACKAGE).parts
    return any(parts[: len(folder)] == folder for folder in ON_ROS)


IMPORT_ALL = """
import importlib, json, sys
for name in {modules!r}:
    importlib.import_module(name)
print(json.dumps(sorted(set(name.split(".")[0] for name in sys.modules) & set({ros!r}))))
"""


def ros_imported_by(modules: list[str]) -> list[str]:
    """The ROS packages that importing these modules brings in, found in a process of its own."""
    code = IMPORT_ALL.format(modules=modules, ros=ROS)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_core_imports_no_ros() -> None:
    modules = core_modules()
    assert {"attnchain_ros.config", "attnchain_ros.mesh.skinning", "attnchain_ros.rollout.window"} <= set(modules)
    assert ros_imported_by(modules) == []


@pytest.mark.ros
def test_the_check_above_can_fail() -> None:
    assert "rclpy" in ros_imported_by(["attnchain_ros.config", "attnchain_ros.node.transforms"])


def imported_modules(path: Path, source: str) -> set[str]:
    """Dotted names of what a module of the package imports, wherever in the file, relative imports resolved."""
    package = list(path.relative_to(PACKAGE.parent).parent.parts)
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            found.add(start)
            found.update(f"{start}.{alias.name}" for alias in node.names)
    return found


def arrows_up(path: Path, source: str) -> list[str]:
    """Imports of a module that break the layering."""
    top = path.relative_to(PACKAGE).with_suffix("").parts[0]
    forbidden: tuple[str, ...]
    if top in BOTTOM:
        forbidden = (*PURE, *ABOVE_PURE)
    elif top in PURE:
        forbidden = ABOVE_PURE
    elif top == "lab":
        # The top: its demonstration and its verbs may use everything.
        forbidden = ()
    elif top == "cli":
        # A command may start what runs on ROS, but only when called (test_core_imports_no_ros).
        forbidden = ("lab",)
    elif top in ("node", "__init__"):
        forbidden = ("lab",)
    else:
        forbidden = ("node", "cli", "lab")
    roots = {".".join(name.split(".")[:2]) for name in imported_modules(path, source)}
    return [f"{path.relative_to(PACKAGE)}: {top} imports {up}" for up in forbidden if f"attnchain_ros.{up}" in roots]


def test_arrows_point_down() -> None:
    paths = sorted(PACKAGE.rglob("*.py"))
    assert len(paths) > 20
    wrong = [arrow for path in paths for arrow in arrows_up(path, path.read_text(encoding="utf-8"))]
    assert wrong == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("mesh/skinning.py", "from ..rollout.window import Window"),
        ("mesh/skinning.py", "from attnchain_ros.files import meshes"),
        ("chain/pairs.py", "def f():\n    from .. import lab"),
        ("backbone/vae.py", "import attnchain_ros.cli.main"),
        ("shapes.py", "from .mesh.types import Mesh"),
        ("rollout/pipeline.py", "from ..node import worker"),
        ("node/worker.py", "from ..lab.demo import recorder"),
        ("cli/run.py", "def f():\n    from ..lab import synthetic"),
    ],
)
def test_the_arrow_check_can_fail(file: str, source: str) -> None:
    assert len(arrows_up(PACKAGE / file, source)) == 1
    assert arrows_up(PACKAGE / file, "from ..errors import ShapeError\nimport numpy") == []


def test_only_the_programs_on_ros_import_it() -> None:
    """Also where the import is inside a function, which the run above would not see."""
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if not on_ros(path):
            roots = {name.split(".")[0] for name in imported_modules(path, path.read_text(encoding="utf-8"))}
            wrong += [f"{path.relative_to(PACKAGE)} imports {name}" for name in sorted(roots & set(ROS))]
    assert wrong == []
