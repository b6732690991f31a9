"""What the hunt found once, each kind of it as a case of its own that stays."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fuzz import seeds

from attnchain_ros.backbone import load_backbone
from attnchain_ros.errors import AttnChainError
from attnchain_ros.files.animation import read_animated_glb
from attnchain_ros.files.bags import open_bag
from attnchain_ros.files.images import open_frames, read_image, read_mask
from attnchain_ros.files.meshes import read_mesh
from attnchain_ros.lab.evaluation.datasets import badja
from attnchain_ros.lab.evaluation.runs import RunFile
from attnchain_ros.lab.training.curves import read_log
from attnchain_ros.lab.training.recipe import load_recipe
from attnchain_ros.published.manifest import PublishedFile, read_manifest
from attnchain_ros.published.states import State, state_of
from attnchain_ros.stream.config import StreamConfig
from attnchain_ros.stream.decode import ImageFields, decode_compressed, decode_image
from attnchain_ros.stream.windows import ClipWindows

DEEP = b"[" * 100_000


def tall_png() -> bytes:
    """A right header that promises more rows than OpenCV would ever read: it raises instead of giving nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 8, 1 << 24, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def glb(text: bytes) -> bytes:
    text += b" " * (-len(text) % 4)
    return struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text), len(text), 0x4E4F534A) + text


# Name of the file, what is in it, what reads it, what is said besides the file's name.
FILES: dict[str, tuple[str, bytes, Callable[[Path], Any], str]] = {
    "tall image": ("a.png", tall_png(), read_image, "cannot be read as an image"),
    "tall mask": ("a.png", tall_png(), read_mask, "cannot be read as an image"),
    "tall frame": ("a.webp", tall_png(), lambda path: open_frames(path.parent), "cannot be read as an image"),
    "deep list of files": ("manifest.json", DEEP, read_manifest, "recursion"),
    "deep recipe": ("recipe.json", DEEP, load_recipe, "recursion"),
    "deep GLB": ("a.glb", glb(DEEP), read_mesh, "cannot be read"),
    "deep animation": ("a.glb", glb(DEEP), read_animated_glb, "recursion"),
    "deep glTF": ("a.gltf", DEEP, read_mesh, "cannot be read"),
    "GLB of a list": ("a.glb", glb(b"[1]"), read_animated_glb, "holds a list, wanted an object"),
    "a section that is none": (
        "recipe.json",
        b'{"temporal": 5}',
        load_recipe,
        "temporal is 5, wanted options of",
    ),
    "a value of another kind": ("recipe.json", b'{"name": []}', load_recipe, "name is [], wanted str"),
    "an array that is none": ("a.npz", b"PK\x05\x06" + bytes(18), read_mesh, "has no array vertices and no faces"),
}


def resumed(path: Path) -> None:
    RunFile(path.parent, {"weights": "a"}, resume=True)


FILES |= {
    "progress in no encoding": ("progress.jsonl", b'{"weights": "\xff"}\n', resumed, "is damaged"),
    "deep progress": ("progress.jsonl", DEEP + b"\n", resumed, "is damaged"),
    "progress of a number": ("progress.jsonl", b"5\n", resumed, "leave out --resume to start anew"),
    "a log without steps": ("log.jsonl", b'{"loss": 1}\n', lambda path: read_log(path.parent), "is damaged"),
    "a log of numbers": ("log.jsonl", b"5\n", lambda path: read_log(path.parent), "is damaged"),
    "deep annotations": ("a.json", DEEP, badja.read_video, "recursion"),
    "annotations of numbers": (
        "a.json",
        b'[{"image_path": 5, "segmentation_path": 5, "joints": 5, "visibility": 5}]',
        badja.read_video,
        "is not what its layout says: TypeError",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file(name: str, tmp_path: Path) -> None:
    file, data, read, said = FILES[name]
    path = tmp_path / file
    path.write_bytes(data)
    with pytest.raises(AttnChainError) as caught:
        read(path)
    assert str(path) in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "value", "said"),
    [
        ("size", {"height": [8], "width": [8]}, "size is {'height': [8], 'width': [8]}, wanted one square size"),
        ("size", {"shortest_edge": 2**40}, "size is 1099511627776, wanted 1 to 16384 pixels"),
        ("image_mean", None, "image_mean is None, wanted three numbers"),
        ("image_mean", [0.5, "x", 0.5], "wanted three numbers"),
        ("image_std", [0.5, 0, 0.5], "image_std is [0.5, 0, 0.5], wanted numbers above 0"),
    ],
)
def test_the_config_of_an_image_processor(tiny_folder: Path, tmp_path: Path, entry: str, value: Any, said: str) -> None:
    folder = _copied(tiny_folder, tmp_path)
    path = folder / "TripoSG" / "feature_extractor_dinov2" / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {entry: value}))
    with pytest.raises(AttnChainError) as caught:
        load_backbone(folder, "cpu")
    assert str(path) in str(caught.value) and said in str(caught.value)


def test_a_config_of_weights_that_is_nested_too_deep(tiny_folder: Path, tmp_path: Path) -> None:
    folder = _copied(tiny_folder, tmp_path)
    path = folder / "TripoSG" / "vae" / "config.json"
    path.write_bytes(DEEP)
    with pytest.raises(AttnChainError, match=r"vae/config.json cannot be read as JSON"):
        load_backbone(folder, "cpu")
    file = PublishedFile("x/y", "1" * 40, "TripoSG/vae", "config.json", len(DEEP), "0" * 64)
    assert state_of(folder, file).state is State.DAMAGED


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"vertices": np.zeros((4, 0))}, "vertices has shape [4, 0], wanted [V, 3]"),
        ({"vertices": np.full((4, 3), 1e300)}, "4 of 4 vertices are not finite"),
        ({"vertices": np.full((4, 3), "x")}, "wanted floating and integer"),
        ({"faces": np.array([[0, 1, 2**32 + 2]])}, "faces name vertices 0 to 4294967298, there are 0 to 3"),
        ({"faces": np.array([[0, 1, 2.5]])}, "faces float64, wanted floating and integer"),
        ({"vertex_colors": np.zeros(4, np.uint8)}, "vertex_colors has shape [4], wanted [V=4, 3]"),
        ({"vertex_colors": np.full((4, 3), 0.5)}, "vertex_colors are float64, wanted uint8"),
        ({"vertex_colors": np.full((4, 3), 256)}, "vertex_colors are int64, wanted uint8"),
    ],
)
def test_arrays_that_are_no_mesh(tmp_path: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    """None is cut to a number of another type first: index 2^32 + 2 is not 2, and 0.5 of a colour is not 0."""
    good = {"vertices": np.eye(4, 3), "faces": np.array([[0, 1, 2], [1, 2, 3]])}
    np.savez(tmp_path / "a.npz", **(good | arrays))
    with pytest.raises(AttnChainError) as caught:
        read_mesh(tmp_path / "a.npz")
    assert f"mesh {tmp_path / 'a.npz'} cannot be used: " in str(caught.value) and said in str(caught.value)


def _copied(folder: Path, place: Path) -> Path:
    for path in folder.rglob("*"):
        if path.is_file():
            target = place / "weights" / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return place / "weights"


def test_a_message_whose_rows_would_fill_the_memory() -> None:
    """``step`` is any number; of one row it says nothing. Of more rows the last one may lack its padding."""
    data = np.arange(24, dtype=np.uint8)
    found = decode_image(ImageFields("rgb8", 1, 8, 1 << 62, False, data)).rgb
    np.testing.assert_array_equal(found, data.reshape(1, 8, 3))
    found = decode_image(ImageFields("mono8", 2, 4, 20, False, data)).rgb
    assert found is not None and found[..., 0].tolist() == [[0, 1, 2, 3], [20, 21, 22, 23]]


def test_a_compressed_message_that_promises_too_much() -> None:
    with pytest.raises(AttnChainError, match="could not be decoded"):
        decode_compressed("png", tall_png())


@pytest.mark.parametrize("one", [b"[", b'{"a":', b"- "])
def test_metadata_of_a_bag_that_is_nested_too_deep(tmp_path: Path, one: bytes) -> None:
    """Brackets took YAML's readers half a minute before they gave up."""
    seeds.bags(tmp_path)
    (tmp_path / "mcap" / "metadata.yaml").write_bytes(one * 100_000)
    with pytest.raises(AttnChainError, match=rf"bag {tmp_path / 'mcap'} cannot be read"):
        open_bag(tmp_path / "mcap")


def test_what_a_clip_fails_with_names_the_clip(tmp_path: Path) -> None:
    """GrabCut and the decoders of messages know of pictures, not where they lie."""
    folder = tmp_path / "plain"
    folder.mkdir()
    cv2.imwrite(str(folder / "0.png"), np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(AttnChainError, match=rf"{folder}: GrabCut found no object"):
        list(ClipWindows(open_frames(folder), StreamConfig(foreground="grabcut"), 4))
