"""Two nodes that get in each other's way say so; two that do not say nothing."""

from __future__ import annotations

from pathlib import Path

from node.hand_made import INTRINSICS
from node.ros_harness import RELIABLE, Camera, Client, NodeProcess

from attnchain_ros.msg import AnimatedMesh

OPTIONS = {"frames": 4, "queue_size": 16, "overflow_policy": "block", "max_gap_s": 60.0}


def test_another_sender_of_the_frame_and_another_node_of_the_name_are_told(client: Client, tmp_path: Path):
    nodes: list[NodeProcess] = []

    def start(name: str, **parameters: object) -> NodeProcess:
        log = tmp_path / f"{len(nodes)}.log"
        nodes.append(NodeProcess(log, "-r", f"__node:={name}", parameters={**OPTIONS, **parameters}))
        return nodes[-1]

    def said(node: NodeProcess, text: str) -> None:
        client.wait_until(lambda: text in node.text(), f"{text}\n{node.text()}")

    try:
        first, apart = start("first"), start("apart", object_frame_prefix="left_")
        second = start("second")
        heard = [client.listen(f"/{name}/mesh", AnimatedMesh) for name in ("first", "second", "apart")]
        camera = Camera(client, INTRINSICS, RELIABLE)
        client.wait_until(lambda: all("active" in node.text() for node in nodes), "all are active")
        camera.wait_for_node(nodes=3)
        number = 0
        while not all("sends transforms of object_1 as well" in node.text() for node in (first, second)):
            camera.send([10**9 + (number + each) * 10**8 for each in range(4)], rate_hz=20.0)
            number += 4
            assert number < 2000, [node.text() for node in nodes]
        said(first, "node /second sends transforms of object_1 as well: whoever reads TF sees the object jump")
        said(second, "node /first sends transforms of object_1 as well")
        assert all(heard), "each computes its windows all the same"
        assert "as well" not in apart.text() and "is named" not in "".join(node.text() for node in nodes)

        twin = start("first", object_frame_prefix="right_")
        said(first, "another node is named /first too: their topics, services and parameters cannot be told apart")
        said(twin, "another node is named /first too")
        assert "as well" not in twin.text()
        assert all(node.text().count("as well") == 1 for node in (first, second))
    finally:
        for node in nodes:
            node.kill()
