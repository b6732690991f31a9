"""The documentation site builds without a warning, and its reference has every public name."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import zlib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_site", ROOT / "scripts" / "docs_site.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def build(config: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--config-file",
        str(config),
        "--site-dir",
        str(out),
    ]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def public_names() -> set[str]:
    """Functions and classes of every module that is not run as a program, without those that begin with _."""
    found = set()
    for path in sorted((ROOT / "attnchain_ros").rglob("*.py")):
        if not path.stem.startswith("__"):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(path.read_text("utf-8")).body:
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                    found.add(f"{module}.{node.name}")
    return found


@pytest.mark.slow
def test_the_site_builds_strictly_and_has_every_public_name(tmp_path: Path) -> None:
    done = build(ROOT / "mkdocs.yml", tmp_path)
    assert done.returncode == 0, done.stderr
    # After four lines of header the inventory is compressed.
    packed = (tmp_path / "objects.inv").read_bytes().split(b"\n", 4)[4]
    listed = {line.split(" ")[0] for line in zlib.decompress(packed).decode().splitlines()}
    assert len(public_names()) > 500
    assert public_names() - listed == set()
    page = (tmp_path / "reference" / "attnchain_ros_chain.html").read_text("utf-8")
    assert "<code>tile</code>: vertices scored at once" in page, "arguments are shown as a list"
    assert "(Eq. 7, left)" in page
    assert "AnimatedMesh" in (tmp_path / "reference" / "messages.html").read_text("utf-8")
    assert 'class="mermaid"' in (tmp_path / "architecture.html").read_text("utf-8")


@pytest.mark.slow
def test_a_broken_link_fails(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text("[gone](gone.md)\n")
    config = tmp_path / "mkdocs.yml"
    config.write_text(
        f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: {docs}\nhooks: []\nplugins: {{search: {{}}}}\nnav: [index.md]\n"
    )
    done = build(config, tmp_path / "site")
    assert done.returncode != 0 and "gone.md" in done.stderr, done.stderr


def test_docstrings_become_markdown(site: ModuleType) -> None:
    text = """What it does.

    received = used + dropped

Args:
    config: see ``Config``,
        and more.
    first, second: two.
    [K, 3] places
Raises:
    ShapeError: sizes.   InputError: values.
Twin: ``reference.x``.

>>> 1 + 1
2
"""
    wanted = """What it does.

    received = used + dropped

**Args:**

- `config`: see ``Config``,
  and more.
- `first, second`: two.
- [K, 3] places

**Raises:**

- `ShapeError`: sizes.
- `InputError`: values.

Twin: ``reference.x``.

```pycon
>>> 1 + 1
2
```"""
    assert [line for line in site.as_markdown(text).splitlines() if line] == [
        line for line in wanted.splitlines() if line
    ]
    assert "\n\n**Raises:**\n\n- `ShapeError`" in site.as_markdown(text)
