"""A robot's install: the runtime works without what only the laboratory needs, and its verbs name the extra."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from attnchain_ros.lab import EXTRA

PACKAGE = Path(__file__).resolve().parent.parent / "attnchain_ros"
BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        return None
sys.meta_path.insert(0, Blocked())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: None if name.partition(".")[0] in {names!r} else real(name, *more)
"""


def without(names: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process that lacks some packages."""
    words = [sys.executable, "-W", "ignore", "-c", BLOCKED.format(names=names) + code]
    return subprocess.run(words, capture_output=True, text=True, check=False, cwd=PACKAGE.parent)


def test_a_clip_is_run_without_the_extra(
    clip_folder: Path, tiny_folder: Path, anchor_file: Path, quick: list[str], tmp_path: Path
) -> None:
    words = ["run", str(clip_folder), "--out", str(tmp_path / "out"), "--weights", str(tiny_folder), "--device", "cpu"]
    words += ["--anchor", str(anchor_file), "--max-windows", "1", *quick]
    done = without(EXTRA, f"from attnchain_ros.cli import main; sys.exit(main({words!r}))")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "contact_sheet.png").stat().st_size > 0


def test_a_bag_for_first_steps_is_left_without_the_extra_and_without_ros(tmp_path: Path) -> None:
    words = ["demo", "--bag", str(tmp_path / "bag"), "--frames", "2"]
    missing = (*EXTRA, "rclpy", "sensor_msgs")
    done = without(missing, f"from attnchain_ros.cli import main; sys.exit(main({words!r}))")
    assert done.returncode == 0 and (tmp_path / "bag" / "metadata.yaml").is_file(), done.stderr


def test_no_module_of_the_runtime_imports_the_extra_or_the_laboratory() -> None:
    names = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.relative_to(PACKAGE).parts[0] not in ("lab", "node") and path.name not in ("__main__.py", "__init__.py")
    ]
    assert len(names) > 60
    code = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\n"
    code += "print([name for name in sys.modules if name.startswith('attnchain_ros.lab')])"
    done = without(EXTRA, code)
    assert done.returncode == 0 and done.stdout.strip() == "[]", done.stderr


@pytest.mark.ros
def test_the_node_is_imported_without_the_extra() -> None:
    done = without(EXTRA, "import attnchain_ros.node.main; print('attnchain_ros.lab' in sys.modules)")
    assert done.returncode == 0 and done.stdout.split()[-1] == "False", done.stderr


@pytest.mark.parametrize("words", [["evaluate"], ["experiments"], ["train", "data", "--recipe=r.json", "--work=w"]])
def test_verbs_that_need_the_extra_say_how_to_get_it(words: list[str], tmp_path: Path) -> None:
    words = [*words, "--out", str(tmp_path / "out")]
    done = without(EXTRA, f"from attnchain_ros.cli import main; sys.exit(main({words!r}))")
    assert done.returncode in (1, 2) and "pip install 'attnchain_ros[lab]'" in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()
