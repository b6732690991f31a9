"""What mkdocs.yml hooks in: pages of reference made from the code, and docstrings as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "attnchain_ros"
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises")
_ITEM = re.compile(r"([\w*., ]+?): (.*)")
_LINK_OUT = re.compile(r"\[([^\]]+)\]\((?:\.\./)+([^)]+)\)")
_LINK_DOCS = re.compile(r"\]\(docs/")


# ------------------------------------------------------------------------------------------ pages


def reference_pages() -> dict[str, tuple[str, str]]:
    """Place of a page -> its title and text: one of each folder of the package, one of its single modules, messages."""
    pages = {"reference/messages.md": ("Messages and services", message_page())}
    package = ROOT / PACKAGE
    for folder in sorted({path.parent for path in package.rglob("*.py")}):
        words = folder.relative_to(ROOT).parts
        name = ".".join(words)
        title = "The package itself" if folder == package else "/".join(words[1:])
        modules = [f"{name}.{path.stem}" for path in sorted(folder.glob("*.py")) if not path.stem.startswith("__")]
        own = [name] if (folder / "__init__.py").exists() else []
        blocks = [_directive(name, members=folder == package) for name in own]
        blocks += [_directive(module, members=True) for module in modules]
        pages[f"reference/{'_'.join(words)}.md"] = (title, "\n".join([f"# {title}", "", *blocks]))
    return pages


def _directive(name: str, members: bool) -> str:
    """A module for mkdocstrings; a folder's own exports are described where they are defined."""
    return f"::: {name}\n" + ("" if members else "    options:\n      members: false\n")


def message_page() -> str:
    """msg/ and srv/ as they are: every field has its comment."""
    lines = ["# Messages and services", ""]
    for path in sorted([*(ROOT / "msg").glob("*.msg"), *(ROOT / "srv").glob("*.srv")]):
        lines += [
            f"## {PACKAGE}/{path.parent.name}/{path.stem}",
            "",
            "```text",
            path.read_text("utf-8").rstrip(),
            "```",
            "",
        ]
    return "\n".join(lines)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the reference behind the written pages."""
    entries = [{title: place} for place, (title, _) in reference_pages().items()]
    assert config.nav is not None
    config.nav.append({"Reference": entries})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add CONTRIBUTING and the pages of reference, which exist in memory only."""
    for place, (_, text) in reference_pages().items():
        files.append(File.generated(config, place, content=text))
    contributing = _LINK_DOCS.sub("](", (ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    files.append(File.generated(config, "contributing.md", content=contributing))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Files of the checkout that are no pages are named instead of linked."""
    markdown = markdown.replace("](../CONTRIBUTING.md)", "](contributing.md)")
    return _LINK_OUT.sub(r"\1 (`\2`)", markdown)


# ------------------------------------------------------------------------------------------ docstrings


class Docstrings(griffe.Extension):
    """Turns every docstring into Markdown before it is shown."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(docstring: str) -> str:
    """A docstring as Markdown: lists of arguments, examples as code, indented blocks as they stand.

    Args:
        docstring: without the indentation that all its lines share.
    """
    return "\n".join(_converted(docstring.splitlines())).strip()


def _converted(lines: list[str]) -> Iterator[str]:
    place = 0
    while place < len(lines):
        line = lines[place]
        if line.startswith(">>> "):
            end = _until(lines, place, lambda text: not text.strip())
            yield from ("", "```pycon", *lines[place:end], "```", "")
        elif line.rstrip(":") in SECTIONS and line.endswith(":"):
            end = _until(lines, place + 1, lambda text: not text.startswith("    "))
            yield from ("", f"**{line}**", "", *_items([text[4:] for text in lines[place + 1 : end]]), "")
        elif line.startswith("    "):
            end = _until(lines, place, lambda text: bool(text.strip()) and not text.startswith("    "))
            yield from ("", *lines[place:end], "")
        elif place and re.match(r"(?:Twin|Returns|Raises): ", line):
            end = place + 1
            yield from ("", line)
        else:
            end = place + 1
            yield line
        place = end


def _until(lines: list[str], start: int, stop: Callable[[str], bool]) -> int:
    """The first line from ``start`` on where ``stop`` is true, or the end."""
    return next((place for place in range(start, len(lines)) if stop(lines[place])), len(lines))


def _items(lines: list[str]) -> Iterator[str]:
    """A section's entries as a list; deeper lines go on with the entry before."""
    for line in lines:
        if line.startswith("    "):
            yield f"  {line.strip()}"
        else:
            for entry in line.split("   "):  # several errors on one line
                found = _ITEM.fullmatch(entry)
                yield f"- `{found[1]}`: {found[2]}" if found else f"- {entry}"
