"""The real node with a hand-made engine as a process: python node_process.py SECONDS_PER_WINDOW --ros-args ..."""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for live and stream; this file's folder is there

from hand_made import HandMadeEngine, MaskEngine, PlaneEngine

from attnchain_ros.errors import WeightsError
from attnchain_ros.node.main import main
from attnchain_ros.node.parameters import NodeSettings


def build(settings: NodeSettings) -> HandMadeEngine:
    if settings.node.weights == "missing":
        raise WeightsError("no checkpoint folder at missing: give the folder that holds TripoSG/ and ActionMesh/")
    if settings.node.weights == "broken":
        raise ZeroDivisionError("a fault that nobody foresaw")
    if settings.node.weights == "slow":
        time.sleep(600)
    kind = {"plane": PlaneEngine, "masks": MaskEngine}.get(settings.node.weights, HandMadeEngine)
    return kind(settings, seconds=float(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main([sys.argv[0], *sys.argv[2:]], build))
