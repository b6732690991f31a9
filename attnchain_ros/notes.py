"""What the library tells its user besides results: a code for programs, a sentence for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Note(NamedTuple):
    """Something that was assumed, left out or went wrong without ending the work.

    Attributes:
        code: what kind of thing it is, without numbers: ``camera_refused``. A log says each code once and counts.
        text: the sentence for the user, with its numbers.
    """

    code: str
    text: str

    def __str__(self) -> str:
        """The sentence."""
        return self.text


class Notes(list[Note]):
    """Notes in the order in which they came, each sentence once."""

    def tell(self, code: str, text: str) -> bool:
        """Add a note; False if this sentence is there already."""
        note = Note(code, text)
        if note in self:
            return False
        self.append(note)
        return True


def texts(notes: Iterable[Note]) -> list[str]:
    """The sentences alone, each once, in order."""
    return list(dict.fromkeys(note.text for note in notes))
