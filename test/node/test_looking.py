"""What ``attnchain doctor`` says beside real ROS nodes."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from node.ros_harness import BEST_EFFORT, Client, environment
from sensor_msgs.msg import CameraInfo, Image

from attnchain_ros.node.looking import built_messages

pytestmark = pytest.mark.ros


def doctor(*words: str) -> tuple[int, dict[str, dict[str, object]]]:
    """Exit status and findings of the command in a process of its own."""
    command = [sys.executable, "-W", "ignore", "-m", "attnchain_ros.cli", "doctor", "--quick", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    rows = json.loads(done.stdout)["findings"]
    return done.returncode, {row["name"]: row for row in rows}


def test_topics_beside_a_camera(client: Client) -> None:
    client.node.create_publisher(Image, "/cam/image_raw", BEST_EFFORT)
    client.node.create_publisher(CameraInfo, "/cam/camera_info", 10)
    status, found = doctor("--image", "/cam/image_raw", "--camera-info", "cam/camera_info", "--listen", "4")
    assert status == 0, found
    assert found["rmw"]["state"] == "ok" and str(found["rmw"]["text"]).startswith("rmw_")
    assert found["messages"]["state"] == "ok" and "AnimatedMesh" in str(found["messages"]["text"])
    assert found["topics"]["state"] == "ok" and "/client" in str(found["topics"]["text"])
    details = found["topics"]["details"]
    assert "/cam/image_raw (sensor_msgs/msg/Image; best_effort, volatile; 1 out, 0 in)" in list(details)  # type: ignore[call-overload]
    assert found["image"]["state"] == "ok" and found["camera_info"]["state"] == "ok"
    assert found["mask"]["state"] == "warn" and "grabcut" in str(found["mask"]["advice"])
    # It leaves the graph again.
    end = time.monotonic() + 30
    while ("attnchain_doctor", "/") in client.node.get_node_names_and_namespaces() and time.monotonic() < end:
        time.sleep(0.1)
    assert ("attnchain_doctor", "/") not in client.node.get_node_names_and_namespaces()


def test_a_named_topic_that_nobody_publishes(client: Client) -> None:
    client.node.create_publisher(Image, "/cam/image_raw", BEST_EFFORT)
    status, found = doctor("--image", "/image", "--listen", "4")
    assert status == 1 and found["image"]["state"] == "fail"
    assert found["image"]["advice"] == "remap one: -r image:=/cam/image_raw"


def test_built_messages_name_what_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    names, fault = built_messages()
    assert {"AnimatedMesh", "Tracks", "GetMesh", "SaveMesh"} <= set(names) and fault == ""
    monkeypatch.setattr("attnchain_ros.node.looking.INTERFACES", ("attnchain_ros.msg", "attnchain_ros.no_srv"))
    names, fault = built_messages()
    assert "Tracks" in names and "no_srv" in fault
