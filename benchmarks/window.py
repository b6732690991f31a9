"""Time windows of the rollout on a synthetic clip: ``python benchmarks/window.py [--windows 5] [--device auto] ...``.

One warm-up window is not counted. Prints one JSON line: median and 95th percentile of the seconds a window takes,
medians by stage, peak memory, and what they were measured on. Budget with the small checkpoint on two cores: 3 s.

"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch

from attnchain_ros.backbone import load_backbone
from attnchain_ros.cli.arguments import parse_settings
from attnchain_ros.lab.synthetic import ClipConfig, make_clip, split_seed
from attnchain_ros.mesh.types import Mesh
from attnchain_ros.options import resolve
from attnchain_ros.rollout import Rollout, Window


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=5, help="windows counted (default 5)")
    parser.add_argument("--side", type=int, default=256, help="side of the frames in pixels (default 256)")
    parser.add_argument("--weights", type=Path, help="checkpoint folder (default: the package's small one)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, help="torch threads (default: all cores)")
    parser.add_argument("--set", action="append", default=[], dest="settings", help="an option of the method")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    backbone = load_backbone(args.weights, args.device, args.dtype)
    config = resolve(backbone, parse_settings(args.settings))
    step = config.frames - 1
    clip = make_clip(split_seed("test", 0), ClipConfig(frames=step * (args.windows + 1) + 1, image_size=args.side))
    rollout = Rollout(backbone, config, Mesh(clip.vertices[0], clip.faces), anchor_is_canonical=True)
    laps: list[dict[str, float]] = []
    for number in range(args.windows + 1):
        part = slice(number * step, number * step + config.frames)
        stamps = np.arange(part.start, part.stop, dtype=np.int64) * 33_333_333
        result = rollout.run(Window(clip.images[part], clip.masks[part], stamps, clip.intrinsics))
        if number:
            laps.append(result.timings_s)
    totals = [sum(lap.values()) for lap in laps]
    stages = {name: round(float(np.median([lap.get(name, 0.0) for lap in laps])), 4) for name in laps[-1]}
    on_gpu = backbone.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    report = {
        "window_s_median": round(float(np.median(totals)), 3),
        "window_s_p95": round(float(np.percentile(totals, 95)), 3),
        "windows": args.windows,
        "stages_s_median": stages,
        "peak_memory_mb": round(peak / 2**20),
        "device": torch.cuda.get_device_name() if on_gpu else cpu,
        "dtype": str(backbone.dtype),
        "checkpoint": f"{backbone.name} ({backbone.checksum})",
        "commit": commit.stdout.strip(),
    }
    sys.stdout.write(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
