"""The other process of benchmarks/node.py: calls services and times them, or only listens until its input ends."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import Any

import rclpy
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

from attnchain_ros.msg import AnimatedMesh
from attnchain_ros.srv import GetMesh, SaveMesh

NODE = "/attnchain_node"
CALLS = 20
PAUSE_S = 0.1


def time_services(node: Node) -> dict[str, list[float]]:
    """Seconds from each request to its answer."""

    def steps(number: int) -> SetParameters.Request:
        value = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=0.02 + 0.001 * (number % 2))
        return SetParameters.Request(parameters=[Parameter(name="tracks.visibility_margin", value=value)])

    # Those that cancel the window under way come last.
    calls: list[tuple[type[Any], str, Any]] = [
        (GetMesh, "get_mesh", lambda number: GetMesh.Request()),
        (SaveMesh, "save_mesh", lambda number: SaveMesh.Request(path=f"{number % 3}.glb", overwrite=True)),
        (SetParameters, "set_parameters", steps),
        (SetBool, "enable", lambda number: SetBool.Request(data=True)),
        (Trigger, "reset", lambda number: Trigger.Request()),
    ]
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    found: dict[str, list[float]] = {}
    for kind, name, request in calls:
        client = node.create_client(kind, f"{NODE}/{name}")
        if not client.wait_for_service(timeout_sec=20.0):
            raise RuntimeError(f"no service {name}")
        laps = []
        for number in range(CALLS + 1):
            asked = request(number)
            started = time.perf_counter()
            future = client.call_async(asked)
            executor.spin_until_future_complete(future, timeout_sec=20.0)
            laps.append(time.perf_counter() - started)
            answer = future.result()
            fine = all(one.successful for one in answer.results) if name == "set_parameters" else answer.success
            if not fine:
                raise RuntimeError(f"{name} was refused: {answer}")
            time.sleep(PAUSE_S)
        found[name] = laps[1:]  # the first one also finds the way
    return found


def listen(node: Node) -> None:
    """Take everything that is published, until standard input ends."""
    for kind, name in ((AnimatedMesh, "mesh"), (PointCloud2, "tracks"), (MarkerArray, "markers")):
        node.create_subscription(kind, f"{NODE}/{name}", lambda message: None, 10, raw=True)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin, daemon=True)
    spinning.start()
    sys.stdin.read()
    executor.shutdown()
    spinning.join(5.0)


def main() -> int:
    """``clients.py services`` prints seconds by service as JSON; ``clients.py listen`` prints nothing."""
    rclpy.init(args=[])
    node = rclpy.create_node("benchmark_client")
    if sys.argv[1] == "services":
        sys.stdout.write(json.dumps(time_services(node)) + "\n")
    else:
        listen(node)
    rclpy.try_shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
