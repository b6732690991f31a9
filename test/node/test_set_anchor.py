"""``~/set_anchor`` over DDS: of the node with the hand-made engine, and of the real one on a tiny checkpoint."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from diagnostic_msgs.msg import DiagnosticStatus
from node.hand_made import COLORS, FACES, INTRINSICS, VERTICES
from node.ros_harness import LATCHED, RELIABLE, Camera, Client, NodeProcess

from attnchain_ros.files.meshes import write_mesh
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.msg import AnimatedMesh
from attnchain_ros.srv import SetAnchor

pytestmark = pytest.mark.ros

NAME = "attnchain_node"
STEP_NS = 50_000_000
FRAMES = 4
BASE: dict[str, Any] = {
    "frames": FRAMES, "queue_size": 16, "overflow_policy": "block", "max_gap_s": 0.0, "watchdog_s": 0.0
}  # fmt: skip
QUICK: dict[str, Any] = {
    "sampling.steps": 2, "surface.grid": 16, "surface.coarse_grid": 8, "surface.n_surface": 128,
    "surface.candidate_grid": 16, "encode_points": 128, "animation.landmarks": 16, "tracks.max_queries": 20,
    "camera.iterations": 20, "device": "cpu", "dtype": "float32", "sampling.stage0_steps": 2,
}  # fmt: skip


@pytest.fixture
def start(tmp_path: Path) -> Iterator:
    running: list[NodeProcess] = []

    def begin(seconds: float = 0.0, real: bool = False, **parameters: Any) -> NodeProcess:
        log = tmp_path / f"node{len(running)}.log"
        running.append(NodeProcess(log, seconds=seconds, real=real, parameters={**BASE, **parameters}))
        return running[-1]

    yield begin
    for process in running:
        process.kill()


def ball_glb(subdivisions: int, inside_out: bool = False) -> bytes:
    found = trimesh.creation.icosphere(subdivisions=subdivisions, radius=0.05)
    if inside_out:
        found.invert()
    return bytes(found.export(file_type="glb"))


def ask(client: Client, **fields: Any) -> SetAnchor.Response:
    return client.call(SetAnchor, f"{NAME}/set_anchor", SetAnchor.Request(**fields))


def stamps(first: int, count: int) -> list[int]:
    return [10**9 + number * STEP_NS for number in range(first, first + count)]


def values(status: list[DiagnosticStatus]) -> dict[str, str]:
    return {item.key: item.value for item in status[-1].values} if status else {}


def test_the_next_chain_has_the_new_mesh_and_requests_are_answered_inside_a_window(client: Client, start: Any) -> None:
    node = start(seconds=1.5)
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, FRAMES))
    client.wait_until(lambda: len(mesh) == 1, f"the first window\n{node.text()}")
    camera.send(stamps(FRAMES, FRAMES - 1))
    client.wait_until(lambda: values(status).get("frames in flight") == "3", "a window is computed")
    refused = ask(client, path="anything.glb")
    assert not refused.success and "anchor_dir is not set" in refused.message and refused.vertices == 0
    assert refused.message.startswith("the anchor stays as it is: ")
    asked = time.monotonic()
    answer = ask(client, glb=ball_glb(2, inside_out=True), size_m=0.25)
    assert time.monotonic() - asked < 5.0
    assert answer.success, answer.message
    assert (answer.vertices, answer.triangles, answer.components, answer.turned) == (162, 320, 1, 320)
    assert answer.watertight and answer.longest_side == pytest.approx(0.1, rel=1e-3)
    client.wait_until(lambda: values(status).get("resets: anchor") == "1", "the chain ends")
    # The old chain is void: what was computed or published of it then is over.
    before = len(mesh)
    camera.send(stamps(100, FRAMES))
    client.wait_until(lambda: len(mesh) > before, f"a window with the new mesh\n{node.text()}")
    last = mesh[-1]
    assert last.window_index == 0 and last.vertex_count == 162 and last.topology_id != mesh[0].topology_id
    assert last.scale == pytest.approx(0.25)
    assert (last.stamps[0].sec, last.stamps[0].nanosec) == divmod(stamps(100, 1)[0], 10**9)
    client.wait_until(lambda: "the new anchor overlaps the first mask by 1.00" in node.text(), "the overlap is told")
    client.wait_until(lambda: values(status).get("frames in flight") == "0", "all is accounted for")
    told = values(status)
    dropped = sum(int(count) for key, count in told.items() if key.startswith("dropped: "))
    assert int(told["frames in"]) == int(told["frames used"]) + dropped + int(told["frames waiting"])
    assert "Traceback" not in node.text()


def test_before_configure_it_is_refused(client: Client, start: Any) -> None:
    start(autostart=False)
    answer = ask(client, generated=True)
    assert not answer.success and answer.message == "the node is not configured: configure and activate it first"


def test_the_real_engine_takes_a_file_below_the_folder(
    client: Client, start: Any, tiny_folder: Path, tmp_path: Path
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    write_mesh(tmp_path / "first.ply", Mesh(VERTICES, FACES, COLORS))
    (allowed / "ball.glb").write_bytes(ball_glb(2))
    (allowed / "points.ply").write_text("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n"
                                        "property float z\nend_header\n0 0 0\n")  # fmt: skip
    node = start(
        real=True, weights=str(tiny_folder), anchor_mesh=str(tmp_path / "first.ply"), anchor_dir=str(allowed), **QUICK
    )
    mesh = client.listen(f"{NAME}/mesh", AnimatedMesh)
    camera = Camera(client, INTRINSICS, RELIABLE)
    camera.wait_for_node()
    camera.send(stamps(0, FRAMES))
    client.wait_until(lambda: len(mesh) == 1, f"the first window\n{node.text()}")
    assert mesh[0].vertex_count == 6

    for path, text in (
        ("../first.ply", "has a '..' in it"),
        (str(tmp_path / "first.ply"), "leads out of"),
        ("points.ply", "has no triangles"),
        ("none.glb", "does not exist"),
    ):
        answer = ask(client, path=path)
        assert not answer.success and text in answer.message, answer.message
    camera.send(stamps(FRAMES, FRAMES - 1))
    client.wait_until(lambda: len(mesh) == 2, f"the second window\n{node.text()}")
    assert mesh[1].window_index == 1 and mesh[1].vertex_count == 6, "refusals change nothing"

    answer = ask(client, path="ball.glb", rotation_deg="0,90,0", size_m=0.4)
    assert answer.success and answer.vertices == 162, answer.message
    deadline = time.monotonic() + 120
    first = 100
    # It is prepared beside the windows, so that the next one may still have the old mesh.
    while mesh[-1].vertex_count != 162 and time.monotonic() < deadline:
        count = len(mesh)
        camera.send(stamps(first, FRAMES))
        first += FRAMES
        end = time.monotonic() + 5
        while len(mesh) == count and time.monotonic() < end:
            client.executor.spin_once(timeout_sec=0.05)
    found = mesh[-1]
    assert found.vertex_count == 162 and found.window_index == 0 and found.metric, node.text()
    rest = np.array(found.vertices).reshape(found.frame_count, -1, 3)[0]
    assert np.ptp(rest, axis=0).max() == pytest.approx(0.4, rel=1e-3)

    answer = ask(client, generated=True)
    assert answer.success and answer.vertices == 0 and "first image" in answer.message
    assert "Traceback" not in node.text()
