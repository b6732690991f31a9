"""Readers that do each wrong thing once, to see that the hunt notices."""

from __future__ import annotations

import os
import time

from attnchain_ros.errors import FileFormatError

from .hunt import Case, judged


def raises(case: Case) -> str | None:
    def read() -> None:
        raise KeyError("POSITION")

    return judged(case, read)


def names_nothing(case: Case) -> str | None:
    def read() -> None:
        raise FileFormatError("the file is damaged")

    return judged(case, read)


def names_it(case: Case) -> str | None:
    def read() -> None:
        raise FileFormatError(f"{case.path} is damaged")

    return judged(case, read)


def hangs(case: Case) -> str | None:
    time.sleep(600)
    return None


def crashes(case: Case) -> str | None:
    os.abort()


def takes_all(case: Case) -> str | None:
    def read() -> None:
        bytearray(64 << 30)

    return judged(case, read)
