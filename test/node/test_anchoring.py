"""What is understood of a request for another anchor, what is refused, and one preparation at a time; ROS-free."""

from __future__ import annotations

import json
import struct
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from node.hand_made import COLORS, FACES, VERTICES

from attnchain_ros.config import RolloutConfig, replace
from attnchain_ros.errors import AttnChainError, InputError
from attnchain_ros.files.meshes import write_mesh
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.node.anchoring import Anchoring, AnchorWish, NewAnchor, understand

CONFIG = RolloutConfig()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The allowed folder, with a mesh inside and one outside."""
    place = tmp_path / "allowed"
    (place / "sub").mkdir(parents=True)
    mesh = Mesh(VERTICES * np.float32(0.1), FACES, COLORS)
    write_mesh(place / "sub" / "mesh.glb", mesh)
    write_mesh(place / "mesh.ply", mesh)
    write_mesh(tmp_path / "outside.glb", mesh)
    (place / "link.glb").symlink_to(tmp_path / "outside.glb")
    (place / "away").symlink_to(tmp_path)
    (place / "within.glb").symlink_to(place / "sub" / "mesh.glb")
    return place


def glb_of(document: dict[str, Any]) -> bytes:
    """A GLB with a document and no binary chunk."""
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<IIIII", 0x46546C67, 2, 20 + len(text), len(text), 0x4E4F534A) + text


def test_without_network_there_is_nothing_to_generate_from() -> None:
    alone = replace(CONFIG, {"readout.source": "none"})
    with pytest.raises(InputError, match=r"readout.source is 'none'.*~/set_anchor"):
        understand(AnchorWish(generated=True), "", alone)


@pytest.mark.parametrize("path", ["sub/mesh.glb", "mesh.ply", "within.glb", "{folder}/mesh.ply"])
def test_files_below_the_folder(path: str, folder: Path) -> None:
    found = understand(AnchorWish(path=path.format(folder=folder)), str(folder), CONFIG)
    assert found.facts is not None and found.laid is not None
    assert (found.facts.vertices, found.facts.triangles, found.facts.components) == (6, 8, 1)
    assert found.facts.watertight and found.facts.turned == 0 and found.facts.longest_side == pytest.approx(0.2)
    assert found.laid.mesh.vertices.max() == pytest.approx(CONFIG.anchor_longest_side / 2)


def test_the_bytes_of_a_glb(folder: Path) -> None:
    data = (folder / "sub" / "mesh.glb").read_bytes()
    found = understand(AnchorWish(glb=data, size_m=0.3), "", CONFIG)
    same = understand(AnchorWish(path="sub/mesh.glb"), str(folder), CONFIG)
    assert found.laid is not None and same.laid is not None and found.size_m == 0.3
    assert np.array_equal(found.laid.mesh.vertices, same.laid.mesh.vertices) and "0.3 m long" in found.describe()
    foreign = trimesh.Trimesh(VERTICES, FACES[:, ::-1], process=False).export(file_type="glb")
    turned = understand(AnchorWish(glb=foreign), "", CONFIG)
    assert turned.facts is not None and turned.facts.turned == 8


def test_the_turn_is_the_requests_or_the_options(folder: Path) -> None:
    tall = Mesh(VERTICES * np.array([1, 3, 1], np.float32), FACES)
    write_mesh(folder / "tall.glb", tall)

    def longest_axis(rotation_deg: str, config: RolloutConfig) -> int:
        found = understand(AnchorWish(path="tall.glb", rotation_deg=rotation_deg), str(folder), config)
        assert found.laid is not None
        return int(np.argmax(np.ptp(found.laid.mesh.vertices, axis=0)))

    lying = RolloutConfig(anchor_rotation_deg="0,0,90")
    assert [longest_axis("", CONFIG), longest_axis("90,0,0", CONFIG), longest_axis("", lying)] == [1, 2, 0]
    assert longest_axis("0,0,0", lying) == 1, "zero angles are angles, too"


def test_generated() -> None:
    found = understand(AnchorWish(generated=True, size_m=0.5), "", CONFIG)
    assert found.laid is None and found.facts is None and "from its first image" in found.describe()


REFUSED: list[tuple[AnchorWish, str]] = [
    (AnchorWish(), "none of path, glb and generated given, wanted exactly one"),
    (AnchorWish(path="mesh.ply", generated=True), "path and generated of path, glb and generated given"),
    (AnchorWish(path="../outside.glb"), "has a '..' in it"),
    (AnchorWish(path="sub/../mesh.ply"), "has a '..' in it"),
    (AnchorWish(path="{place}/outside.glb"), "leads out of"),
    (AnchorWish(path="link.glb"), "leads out of"),
    (AnchorWish(path="away/outside.glb"), "leads out of"),
    (AnchorWish(path="."), "is the anchor folder itself"),
    (AnchorWish(path="  "), "relative to the anchor folder"),
    (AnchorWish(path="none.glb"), "none.glb does not exist"),
    (AnchorWish(path="sub"), "no ending is not a mesh format"),
    (AnchorWish(path="mesh.ply", rotation_deg="90"), "rotation_deg is '90', wanted three angles"),
    (AnchorWish(path="mesh.ply", rotation_deg="a,b,c"), "rotation_deg is 'a,b,c', wanted three angles"),
    (AnchorWish(path="mesh.ply", size_m=-1.0), "object_size_m is -1.0, the least allowed is 0.0"),
    (AnchorWish(path="mesh.ply", size_m=float("nan")), "object_size_m is not a number"),
    (AnchorWish(generated=True, rotation_deg="0,90,0"), "a generated mesh needs no turn"),
    (AnchorWish(glb=b"rubbish that is long enough"), "the GLB that was sent is not a GLB"),
    (AnchorWish(glb=glb_of({"asset": {"version": "2.0"}})), "the GLB that was sent"),
    (AnchorWish(glb=glb_of({"asset": {"version": "2.0"}, "images": [{"uri": "skin.png"}]})), "refers to 'skin.png'"),
]  # fmt: skip


@pytest.mark.parametrize(("wish", "text"), REFUSED)
def test_what_is_refused(wish: AnchorWish, text: str, folder: Path) -> None:
    wish = AnchorWish(wish.path.format(place=folder.parent), wish.glb, wish.generated, wish.rotation_deg, wish.size_m)
    with pytest.raises(InputError) as error:
        understand(wish, str(folder), CONFIG)
    assert text in str(error.value) and "attnchain_anchor_" not in str(error.value)


def test_without_a_folder_only_bytes_are_taken(folder: Path) -> None:
    with pytest.raises(InputError, match="anchor_dir is not set"):
        understand(AnchorWish(path=str(folder / "mesh.ply")), "", CONFIG)


@pytest.mark.parametrize("uri", ["../secret.bin", "%2e%2e/secret.bin", "{place}/secret.bin", "away/secret.bin"])
def test_a_file_that_refers_to_others_out_of_the_folder(uri: str, folder: Path) -> None:
    document = {"asset": {"version": "2.0"}, "buffers": [{"uri": uri.format(place=folder.parent), "byteLength": 4}]}
    (folder / "sly.gltf").write_text(json.dumps(document))
    (folder / "sly.glb").write_bytes(glb_of(document))
    for name in ("sly.gltf", "sly.glb"):
        with pytest.raises(InputError, match=r"has a '\.\.' in it|leads out of"):
            understand(AnchorWish(path=name), str(folder), CONFIG)


def test_one_at_a_time_and_the_windows_go_on(folder: Path) -> None:
    may_end, taken = threading.Event(), list[NewAnchor]()

    def prepare(laid: Any, config: RolloutConfig) -> Any:
        may_end.wait(60)
        return laid

    anchoring = Anchoring(taken.append, pytest.fail, prepare)
    wish = AnchorWish(path="mesh.ply", size_m=0.2)
    found = anchoring.take(wish, str(folder), CONFIG)
    assert found is not None and not taken, "answered before it is prepared"
    assert anchoring.take(wish, str(folder), CONFIG) is None and not anchoring.wait(0.05)
    may_end.set()
    assert anchoring.wait(60) and [new.size_m for new in taken] == [0.2] and taken[0].anchor is found.laid
    with pytest.raises(InputError):
        anchoring.take(AnchorWish(), str(folder), CONFIG)
    assert anchoring.take(AnchorWish(generated=True), "", CONFIG) is not None, "a refusal leaves nothing busy"
    assert anchoring.wait(60) and taken[1] == NewAnchor(None)


@pytest.mark.parametrize("fault", [AttnChainError("no landmarks"), MemoryError("41 GB")])
def test_what_fails_in_the_thread_is_told_and_changes_nothing(fault: Exception, folder: Path) -> None:
    taken, told = list[NewAnchor](), list[str]()

    def prepare(laid: Any, config: RolloutConfig) -> Any:
        raise fault

    anchoring = Anchoring(taken.append, told.append, prepare)
    assert anchoring.take(AnchorWish(path="mesh.ply"), str(folder), CONFIG) is not None
    assert anchoring.wait(60) and not taken
    assert told == [f"the anchor was not changed: {type(fault).__name__}: {fault}"]
