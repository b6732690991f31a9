"""A function that takes more than a handful of things is told what it could find out itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "attnchain_ros"
MOST_POSITIONAL, MOST = 6, 10


def long_signatures(source: str) -> Iterator[str]:
    """Functions with more than six positional parameters, or ten in all; ``self`` does not count."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names = [argument.arg for argument in (*node.args.posonlyargs, *node.args.args)]
            positional = len(names) - (names[:1] in (["self"], ["cls"]))
            together = positional + len(node.args.kwonlyargs)
            if positional > MOST_POSITIONAL or together > MOST:
                yield f"{node.name}: {positional} positional parameters, {together} in all"


def test_no_function_of_the_runtime_takes_too_much() -> None:
    paths = [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] != "lab"]
    assert len(paths) > 50
    found = [
        f"{path.relative_to(PACKAGE)}: {one}" for path in paths for one in long_signatures(path.read_text("utf-8"))
    ]
    assert found == []


def test_the_check_can_fail() -> None:
    assert list(long_signatures("def f(a, b, c, d, e, g, h): pass")) == ["f: 7 positional parameters, 7 in all"]
    assert list(long_signatures("class A:\n def f(self, a, b, c, d, e, g, *, h=1): pass")) == []
    assert len(list(long_signatures("def f(a, *, b, c, d, e, g, h, i, j, k, m): pass"))) == 1
