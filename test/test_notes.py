"""attnchain_ros.notes: each sentence once, in order, with its code."""

from __future__ import annotations

from attnchain_ros.notes import Note, Notes, texts


def test_a_sentence_is_told_once_and_its_code_again_with_other_numbers() -> None:
    notes = Notes()
    assert notes.tell("jump", "by 2") and notes.tell("jump", "by 3") and not notes.tell("jump", "by 2")
    assert notes == [Note("jump", "by 2"), Note("jump", "by 3")]
    assert f"note: {notes[0]}" == "note: by 2"


def test_texts_leave_out_what_was_said_before() -> None:
    assert texts([Note("b", "two"), Note("a", "one"), Note("b", "two")]) == ["two", "one"]
