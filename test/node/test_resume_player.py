"""A paused player is resumed when the node is active and listens, not before; with a stand-in for the player."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from node.hand_made import INTRINSICS
from node.ros_harness import RELIABLE, Camera, Client, NodeProcess, environment
from std_srvs.srv import Empty

from attnchain_ros.errors import ConfigError
from attnchain_ros.msg import AnimatedMesh
from attnchain_ros.node.resume_player import service_type

pytestmark = pytest.mark.ros


def resumer(log: Path, *arguments: str) -> subprocess.Popen:
    with log.open("wb") as file:
        command = [
            sys.executable,
            "-m",
            "attnchain_ros.node.resume_player",
            "--node",
            "/attnchain_node",
            "--topic",
            "/image",
        ]
        command += ["--player", "/player", "--resume-type", "std_srvs/srv/Empty", *arguments]
        return subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, env=environment())


def test_no_frame_is_lost(client: Client, tmp_path: Path):
    """The player publishes as fast as it can from the moment it is resumed: everything arrives."""
    camera = Camera(client, INTRINSICS, RELIABLE)
    resumed: list[bool] = []

    def on_resume(request: Empty.Request, response: Empty.Response) -> Empty.Response:
        resumed.append(True)
        return response

    client.node.create_service(Empty, "/player/resume", on_resume)
    mesh = client.listen("attnchain_node/mesh", AnimatedMesh)
    options = {"frames": 4, "queue_size": 16, "overflow_policy": "block", "max_gap_s": 1.0, "autostart": False}
    node = NodeProcess(tmp_path / "node.log", parameters=options)
    process = resumer(tmp_path / "resume.log")
    try:
        for label in ("configure", "activate"):
            assert not resumed, "the node is not active yet"
            assert client.transition("attnchain_node", label)
        client.wait_until(lambda: resumed, f"the player is resumed: {(tmp_path / 'resume.log').read_text()}")
        camera.send([10**9 + number * 50_000_000 for number in range(31)], rate_hz=10_000.0)
        client.wait_until(lambda: len(mesh) == 10, f"ten whole windows: {node.text()}")
        assert [message.frame_count for message in mesh] == [4] * 10
        client.wait_until(lambda: process.poll() is not None, "its work is done")
        assert (
            process.returncode == 0
            and "/attnchain_node is active: /player goes on" in (tmp_path / "resume.log").read_text()
        )
    finally:
        process.kill()
        node.kill()


def test_it_says_why_the_bag_stays_paused(client: Client, tmp_path: Path):
    process = resumer(tmp_path / "resume.log", "--timeout", "0.5")
    client.wait_until(lambda: process.poll() is not None, "it gives up")
    assert process.returncode == 1
    assert "the bag stays paused: /attnchain_node is not active after 0.5 s" in (tmp_path / "resume.log").read_text()
    for name in ("nowhere/srv/Resume", "std_srvs/srv/Nothing", ""):
        with pytest.raises(ConfigError, match="is not installed"):
            service_type(name)
