"""What was found, for people and for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class State(Enum):
    """Whether something works: as it should, with a limit that the user should know, or not."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True)
class Finding:
    """One line of the page.

    Attributes:
        name: what was looked at, one or two words.
        state: whether it works.
        text: what was found, with its numbers.
        advice: what to do about it; never empty for what failed.
        details: further lines.
    """

    name: str
    state: State
    text: str
    advice: str = ""
    details: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For a terminal.

        >>> Finding("memory", State.WARN, "1.0 GB free", "close something").lines()
        ['warn  memory      1.0 GB free', '                  -> close something']
        """
        found = [f"{self.state.value:<4}  {self.name:<12}{self.text}".rstrip()]
        if self.advice:
            found.append(f"{'':<18}-> {self.advice}")
        return found + [f"{'':<18}{line}" for line in self.details]


def page_lines(findings: Sequence[Finding]) -> list[str]:
    """The closing lines of a page: how much of it works."""
    failed = [finding.name for finding in findings if finding.state is State.FAIL]
    warned = [finding.name for finding in findings if finding.state is State.WARN]
    text = f"{len(findings)} looked at: "
    if failed:
        return [text + f"{len(failed)} failed ({', '.join(failed)})"]
    return [text + ("all work" if not warned else f"nothing failed, {len(warned)} with a remark ({', '.join(warned)})")]


def report_json(findings: Sequence[Finding], version: str) -> str:
    """The page as JSON: ``ok`` (nothing failed), ``version`` of the package, ``findings`` in order."""
    rows = [dataclasses.asdict(finding) | {"state": finding.state.value} for finding in findings]
    failed = any(finding.state is State.FAIL for finding in findings)
    return json.dumps({"ok": not failed, "version": version, "findings": rows}, indent=2)
