"""The object by a click, over real topics: from ~/prompt to masks, windows and the mesh. What follows is a tracker by
colour in SAM 2's place, since random weights follow nothing; the mesh's scale tells how many pixels its masks have."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from geometry_msgs.msg import PointStamped
from node.ros_harness import LATCHED, LATCHED_WINDOWS, RELIABLE, Client, NodeProcess, image_message
from sensor_msgs.msg import Image, RegionOfInterest

from attnchain_ros.msg import AnimatedMesh

pytestmark = pytest.mark.ros

NAME = "/attnchain_node"
STEP_NS = 50_000_000


class Scene:
    """Publishes a red square of 64 pixels and a green one of 30, and points at things."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.number = 0
        self.images = client.node.create_publisher(Image, "image", RELIABLE)
        self.points = client.node.create_publisher(PointStamped, f"{NAME}/prompt", RELIABLE)
        self.boxes = client.node.create_publisher(RegionOfInterest, f"{NAME}/prompt_box", RELIABLE)
        everything = (self.images, self.points, self.boxes)
        client.wait_until(lambda: all(one.get_subscription_count() for one in everything), "the node subscribes")

    def show(self, count: int, *, red: bool = True) -> None:
        for _ in range(count):
            self.number += 1
            pixels = np.full((24, 32, 3), (20, 60, 160), np.uint8)
            if red:
                pixels[8:16, 4:12] = 220, 40, 30
            pixels[10:15, 20:26] = 30, 200, 60
            message = image_message(10**10 + self.number * STEP_NS)
            message.data = pixels.tobytes()
            self.images.publish(message)

    def click(self, x: float, y: float) -> None:
        message = PointStamped()
        message.point.x, message.point.y = x, y
        self.points.publish(message)


@pytest.fixture
def node(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[NodeProcess]:
    options = {"foreground": "sam2", "weights": "masks", "frames": 4, "overflow_policy": "block", "live": False}
    options |= {"max_gap_s": 0.0, "output_dir": str(tmp_path), **getattr(request, "param", {})}
    found = NodeProcess(tmp_path / "node.log", parameters=options)
    yield found
    found.kill()


def test_from_a_click_to_the_mesh(client: Client, node: NodeProcess) -> None:
    meshes = client.listen(f"{NAME}/mesh", AnimatedMesh, LATCHED_WINDOWS)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)

    def values() -> dict[str, str]:
        return {item.key: item.value for item in status[-1].values} if status else {}

    def said(text: str) -> None:
        client.wait_until(lambda: text in node.text(), f"{text!r} in the log")

    scene = Scene(client)
    assert not client.node.get_subscriptions_info_by_topic("/mask"), "masks of others are not read"
    scene.click(6.0, 10.0)
    said("prompt refused, nothing changes: no image came yet")
    scene.show(1)
    said("nothing was pointed at yet")
    scene.click(90.0, 10.0)
    said("the point 90,10 is outside the image: x goes to 31, y to 23")
    scene.click(float("nan"), 10.0)
    said("the prompt nan,10 is no place in an image")
    scene.boxes.publish(RegionOfInterest(x_offset=30, y_offset=1, width=9, height=4))
    said("the box 30,1,9,4 leaves the image")
    assert not meshes
    scene.click(6.0, 10.0)
    said("prompt taken: the point 6,10")
    scene.show(4)
    client.wait_until(lambda: len(meshes) == 1, f"a window of the red square: {node.text()}")
    assert meshes[0].scale == 64.0
    scene.boxes.publish(RegionOfInterest(x_offset=19, y_offset=9, width=8, height=7))
    said("prompt taken: the box 19,9,8,7")
    scene.show(4)
    client.wait_until(lambda: len(meshes) == 2, "a window of the green square")
    assert meshes[1].scale == 30.0 and meshes[1].topology_id != meshes[0].topology_id
    said("the chain starts anew (prompt)")
    scene.click(6.0, 10.0)
    client.wait_until(lambda: values().get("sam2: prompts") == "3", "the status counts prompts")
    scene.show(3)
    scene.show(2, red=False)
    client.wait_until(lambda: values().get("sam2: images lost") == "2", "lost images are counted")
    assert values()["sam2: state"].startswith("lost since 10.")
    scene.show(1)
    client.wait_until(lambda: len(meshes) == 3, "a window of what was left")
    client.wait_until(lambda: values().get("sam2: images back") == "1", "seen again")
    found = values()
    assert found["sam2: prompts refused"] == "4" and found["sam2: state"] == "following"
    assert (
        found["dropped: object_lost"] == "2" and found["dropped: no_prompt"] == "1" and found["resets: prompt"] == "3"
    )
    dropped = sum(int(count) for key, count in found.items() if key.startswith("dropped: "))
    assert int(found["frames in"]) == 15 == int(found["frames used"]) + dropped
    assert "the object is not seen any more" in node.text() and "the object is seen again" in node.text()


@pytest.mark.parametrize("node", [{"max_objects": 2, "sam2.point": "6,10"}], indirect=True)
def test_a_click_beside_the_object_begins_another(client: Client, node: NodeProcess) -> None:
    meshes = client.listen(f"{NAME}/mesh", AnimatedMesh, LATCHED_WINDOWS)
    status = client.listen(f"{NAME}/status", DiagnosticStatus, LATCHED)

    def values() -> dict[str, str]:
        return {item.key: item.value for item in status[-1].values} if status else {}

    def windows(object_id: int) -> list[AnimatedMesh]:
        return [mesh for mesh in meshes if mesh.object_id == object_id]

    scene = Scene(client)
    assert not client.node.get_subscriptions_info_by_topic("/mask"), "masks of others are not read"
    scene.show(4)
    client.wait_until(lambda: len(windows(1)) == 1, f"a window of the red square: {node.text()}")
    scene.click(22.0, 12.0)
    client.wait_until(lambda: "prompt taken: the point 22,12" in node.text(), "the click is taken")
    scene.show(4)
    client.wait_until(lambda: len(windows(1)) == 2 and len(windows(2)) == 1, f"windows of both: {node.text()}")
    assert [mesh.scale for mesh in windows(1)] == [64.0, 64.0] and windows(2)[0].scale == 30.0
    assert windows(1)[0].topology_id == windows(1)[1].topology_id, "the first object went on"
    scene.click(2.0, 20.0)
    client.wait_until(lambda: "the point 2,20" in node.text(), "the click is taken")
    scene.show(1)
    client.wait_until(lambda: values().get("sam2: prompts refused") == "1", "there is no room for a third")
    assert "the prompt 2,20 begins no object: max_objects is 2, and all are there" in node.text()
    scene.click(22.0, 12.0)
    client.wait_until(lambda: node.text().count("prompt taken: the point 22,12") == 2, "the click is taken")
    scene.show(5)
    client.wait_until(lambda: len(windows(2)) == 2 and len(windows(1)) == 4, "windows of both")
    assert windows(2)[1].topology_id != windows(2)[0].topology_id, "the corrected one began anew"
    client.wait_until(lambda: values().get("sam2: prompts") == "3" and values().get("objects") == "1, 2", "the status")
    found = values()
    assert found["sam2: state"] == "following" and found["objects: admitted"] == "2"
    scene.show(1, red=False)
    client.wait_until(lambda: values().get("sam2: images lost") == "1", "lost images are counted")
    assert values()["sam2: state"].startswith("lost: object 1 since 10.")
