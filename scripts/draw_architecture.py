"""Draw the imports into docs/architecture.md: ``python scripts/draw_architecture.py`` (``--check`` only compares).

The drawing and the table there are made of the imports and of the folders' own first sentences, so they cannot be
wrong for longer than until the next test.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "attnchain_ros"
PAGE = Path("docs") / "architecture.md"
BOTTOM = "bottom"
"""One box for the single modules that import no folder: words that everything uses."""
COMMAND = "python scripts/draw_architecture.py"

Arrows = dict[str, frozenset[str]]


def imports(root: Path) -> dict[str, set[str]]:
    """Module -> the package's modules that it imports, be it inside a function; what only types need does not count."""
    sys.path.insert(0, str(root))
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True, cache_dir=None)
    return {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def parts_of(root: Path, above: str) -> dict[str, Path]:
    """Part -> its folder or file, of a package."""
    folder = root.joinpath(*above.split("."))
    found = {path.parent.name: path.parent for path in folder.glob("*/__init__.py")}
    return found | {path.stem: path for path in folder.glob("*.py") if not path.stem.startswith("__")}


def arrows_between(modules: Mapping[str, set[str]], above: str, parts: Iterable[str]) -> Arrows:
    """Part of a package -> the other parts that it imports."""
    depth = above.count(".") + 1
    found: dict[str, set[str]] = {part: set() for part in parts}

    def part_of(module: str) -> str | None:
        words = module.split(".")
        inside = module.startswith(f"{above}.") and words[depth] in found
        return words[depth] if inside else None

    for module, imported in modules.items():
        part = part_of(module)
        if part is not None:
            found[part].update(other for other in map(part_of, imported) if other is not None and other != part)
    return {part: frozenset(others) for part, others in found.items()}


def gather(arrows: Arrows, singles: Iterable[str]) -> tuple[Arrows, list[str]]:
    """Put single modules that import nothing but one another into one box; returns the arrows and what is in it."""
    inside = set(singles)
    while True:
        reaching_out = {part for part in inside if arrows[part] - inside}
        if not reaching_out:
            break
        inside -= reaching_out

    def box(part: str) -> str:
        return BOTTOM if part in inside else part

    found: dict[str, set[str]] = {}
    for part, others in arrows.items():
        found.setdefault(box(part), set()).update(box(other) for other in others)
    return {part: frozenset(others - {part}) for part, others in found.items()}, sorted(inside)


def reach(arrows: Arrows, start: str) -> set[str]:
    """Everything that a part imports, directly or not."""
    found: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        part = waiting.pop()
        if part not in found:
            found.add(part)
            waiting.extend(arrows[part])
    return found


def ordered(arrows: Arrows) -> list[str]:
    """Parts from top to bottom.

    Raises:
        SystemExit: parts import one another in a circle.
    """
    below = {part: reach(arrows, part) for part in arrows}
    circle = sorted(part for part, parts in below.items() if part in parts)
    if circle:
        raise SystemExit(f"these parts import one another in a circle, so there are no layers: {', '.join(circle)}")
    return sorted(arrows, key=lambda part: (-len(below[part]), part))


def reduced(arrows: Arrows) -> Arrows:
    """Arrows without those that a longer way makes, too."""
    found = {}
    for part, others in arrows.items():
        farther = set().union(*(reach(arrows, other) for other in others)) if others else set()
        found[part] = others - farther
    return found


def drawing(arrows: Arrows, names: Mapping[str, str]) -> str:
    """The mermaid text of a graph; ``names`` says what is written into a box other than the part's name."""
    order = ordered(arrows)
    few = reduced(arrows)
    lines = ["```mermaid", "flowchart TD"]
    lines += [f'    {part}["{names.get(part, part)}"]' for part in order]
    lines += [f"    {part} --> {other}" for part in order for other in order if other in few[part]]
    return "\n".join([*lines, "```"])


def first_sentence(path: Path) -> str:
    """What a folder or module says about itself."""
    source = path / "__init__.py" if path.is_dir() else path
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return paragraph.replace("``", "`").replace("|", "\\|")


def table(arrows: Arrows, parts: Mapping[str, Path], bottom: list[str]) -> str:
    """What each part is and what it imports itself."""
    lines = ["| part | what it is | imports |", "|---|---|---|"]
    order = ordered(arrows)
    for part in order:
        names = bottom if part == BOTTOM else [part]
        others = ", ".join(f"`{other}`" for other in order if other in arrows[part] and other != BOTTOM) or "-"
        for name in names:
            place = f"{name}/" if parts[name].is_dir() else f"{name}.py"
            lines.append(f"| `{place}` | {first_sentence(parts[name])} | {others} |")
    return "\n".join(lines)


def sections(root: Path) -> dict[str, str]:
    """Name of a section of the page -> its text."""
    modules = imports(root)
    parts = parts_of(root, PACKAGE)
    singles = [part for part, path in parts.items() if path.is_file()]
    arrows, bottom = gather(arrows_between(modules, PACKAGE, parts), singles)
    lab = {part: path for part, path in parts_of(root, f"{PACKAGE}.lab").items() if not path.stem.startswith("_")}
    lab_arrows = arrows_between(modules, f"{PACKAGE}.lab", lab)
    return {
        "layers": drawing(arrows, {BOTTOM: ", ".join(bottom)}),
        "parts": table(arrows, parts, bottom),
        "laboratory": drawing(lab_arrows, {}),
    }


def insert(page: str, texts: Mapping[str, str]) -> str:
    """The page with its sections replaced.

    Raises:
        SystemExit: a section's marks are not in the page.
    """
    for name, text in texts.items():
        start, end = f"<!-- {name}: made by `{COMMAND}` -->", f"<!-- end of {name} -->"
        if page.count(start) != 1 or page.count(end) != 1:
            raise SystemExit(f"{PAGE} needs the lines {start} and {end}, once each")
        head, _, rest = page.partition(start)
        _, _, tail = rest.partition(end)
        page = f"{head}{start}\n\n{text}\n\n{end}{tail}"
    return page


def main() -> int:
    """Returns 1 if ``--check`` found the page out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say whether the page is up to date")
    parser.add_argument("--root", type=Path, default=ROOT, help="the checkout [%(default)s]")
    chosen = parser.parse_args()
    path = chosen.root / PAGE
    page = path.read_text(encoding="utf-8")
    wanted = insert(page, sections(chosen.root))
    if not chosen.check:
        path.write_text(wanted, encoding="utf-8")
        return 0
    if page != wanted:
        sys.stderr.write(f"{PAGE} does not show the imports as they are: run {COMMAND}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
