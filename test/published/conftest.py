"""A tiny checkpoint on a local hub, and the list of its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_server import HubServer
from tiny import write_tiny_checkpoint

from attnchain_ros.published.fetching import FetchOptions
from attnchain_ros.published.hub import Hub
from attnchain_ros.published.manifest import Licence, Manifest, PublishedFile, read_manifest

REVISION = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random checkpoint that plays the published one."""
    folder = write_tiny_checkpoint(tmp_path_factory.mktemp("published"))
    (folder / "TripoSG/model_index.json").write_text("{}")
    return folder


@pytest.fixture(scope="session")
def manifest(published: Path) -> Manifest:
    """The packaged list, with the sizes and SHA-256 of the tiny files."""
    files = []
    for file in read_manifest().files:
        data = (published / file.path).read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        files.append(PublishedFile(file.repo, REVISION, file.folder, file.file, len(data), sha256))
    return Manifest(tuple(files), (Licence("facebook/ActionMesh", "research only", "outputs, too"),))


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever runs the tests has no token and no cache."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no_token"))
    # What came in pieces smaller than this before a break is lost; the usual 10 MB are more than these files have.
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)


@pytest.fixture
def hub(published: Path, manifest: Manifest) -> Iterator[HubServer]:
    """A hub that has the files."""
    files = {f"{file.repo}/{file.file}": (published / file.path).read_bytes() for file in manifest.files}
    with HubServer(files, REVISION).running() as server:
        yield server


@pytest.fixture
def options(hub: HubServer) -> FetchOptions:
    """Fetch from that hub."""
    return FetchOptions(hub=Hub(hub.address))
