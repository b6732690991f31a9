"""The list of published files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from attnchain_ros.errors import FileFormatError
from attnchain_ros.masks.places import FOLDER, PUBLISHED
from attnchain_ros.published.manifest import masks_manifest, read_manifest, write_manifest


def test_the_packaged_list_is_the_published_weights() -> None:
    manifest = read_manifest()
    assert {file.repo for file in manifest.files} == {"VAST-AI/TripoSG", "facebook/ActionMesh"}
    assert len({file.path for file in manifest.files}) == len({file.sha256 for file in manifest.files}) == 11
    assert manifest.size == 13_704_772_457 and all(len(file.revision) == 40 for file in manifest.files)
    assert not any(file.path.startswith("dinov2") or "autoencoder" in file.path for file in manifest.files)
    assert any("Noncommercial" in licence.name for licence in manifest.licences)


def test_a_list_is_written_and_read_back(tmp_path: Path) -> None:
    manifest = read_manifest()
    write_manifest(tmp_path / "list.json", manifest)
    assert read_manifest(tmp_path / "list.json") == manifest


GOOD = {"repo": "a/b", "revision": "0" * 40, "folder": "x", "file": "y.json", "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not json", "is no readable list of published files"),
        ("[]", "is no readable list of published files"),
        (json.dumps({"files": []}), "lists no files"),
        (json.dumps({"files": [{"repo": "a/b"}]}), "is no readable list of published files"),
        (json.dumps({"files": [GOOD | {"file": "../../y"}]}), "would leave the folder"),
        (json.dumps({"files": [GOOD | {"folder": "/etc"}]}), "would leave the folder"),
        (json.dumps({"files": [GOOD | {"sha256": "abc"}]}), "needs a size in bytes and a SHA-256"),
        (json.dumps({"files": [GOOD | {"size": "large"}]}), "needs a size in bytes and a SHA-256"),
    ],
)
def test_a_damaged_list_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(FileFormatError, match=told):
        read_manifest(tmp_path / "list.json")
    with pytest.raises(FileFormatError, match="is no readable list"):
        read_manifest(tmp_path / "none.json")


def test_the_list_for_masks_is_sam_2() -> None:
    manifest = read_manifest(masks_manifest())
    assert [file.path for file in manifest.files] == [f"{FOLDER}/config.json", f"{FOLDER}/model.safetensors"]
    assert {file.repo for file in manifest.files} == {PUBLISHED} and len(
        {file.revision for file in manifest.files}
    ) == 1
    assert manifest.size == 155_913_759 and "Apache" in manifest.licences[0].name
