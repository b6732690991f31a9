"""Folders are layers: arrows between them point down only, and the core runs without ROS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "attnchain_ros"
# Everything that comes with ROS 2: what the core must not import, neither directly nor through something else.
ROS = ("rclpy", "cv_bridge", "sensor_msgs", "std_msgs", "geometry_msgs", "tf2_ros", "tf2_msgs", "launch")
# The programs that run on ROS: the node, and the demonstration that starts it and listens to it. The rest is the core.
ON_ROS = (("node",), ("lab", "demo"))


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


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    """import-linter with the contracts of pyproject.toml, on the package below a folder."""
    code = "import sys; from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--config", str(ROOT / "pyproject.toml"), "--no-cache"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )


def test_arrows_point_down() -> None:
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "source", "told"),
    [
        (
            "mesh/skinning.py",
            "from ..rollout.window import Window",
            "mesh is not allowed to import attnchain_ros.rollout",
        ),
        ("chain/pairs.py", "def f():\n    from .. import lab", "chain is not allowed to import attnchain_ros.lab"),
        ("stream/frame.py", "from ..files import glb", "stream is not allowed to import attnchain_ros.files"),
        ("node/worker.py", "from ..lab.demo import recorder", "node is not allowed to import attnchain_ros.lab"),
        ("wire/fields.py", "from std_msgs.msg import Header", "wire is not allowed to import std_msgs"),
        (
            "backbone/vae.py",
            "import attnchain_ros.chain.pairs",
            "backbone is not allowed to import attnchain_ros.chain",
        ),
    ],
)
def test_the_arrow_check_can_fail(file: str, source: str, told: str, tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "attnchain_ros", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    path = tmp_path / "attnchain_ros" / file
    path.write_text(f"{path.read_text('utf-8')}\n{source}\n", "utf-8")
    done = lint(tmp_path)
    assert done.returncode == 1 and told in done.stdout, done.stdout


def test_a_new_folder_must_be_given_its_layer(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "attnchain_ros", ignore=shutil.ignore_patterns("weights", "__pycache__"))
    (tmp_path / "attnchain_ros" / "attic.py").write_text("")
    done = lint(tmp_path)
    assert done.returncode == 1 and "attic" in done.stdout
