"""The live pose's error against the age of the last window: ``python benchmarks/live.py [--clips 8]``.

Follows held-out synthetic clips (at 30 images a second, from the truth with the noise of a good window) for three
seconds under every kind of camera motion and prints a table in Markdown: medians over clips and cameras of the rotation
error, the translation error and the points' distance, for the live lane, for holding the last pose and for constant
velocity. Where the lane says that it is lost the row is left out for all three methods and counted.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from attnchain_ros.lab.evaluation.live import LIVE, METHODS, START_FRAME, LiveError, measure_live
from attnchain_ros.lab.synthetic import CAMERAS, ClipConfig, split_clip
from attnchain_ros.live.config import LiveConfig

AGES = (1, 3, 8, 15, 30, 60, 90)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="test", choices=("validation", "test", "unseen"))
    parser.add_argument("--clips", type=int, default=8, help="clips of the split, each under every camera (default 8)")
    parser.add_argument("--image-size", type=int, default=320, help="side of the pictures in pixels (default 320)")
    args = parser.parse_args()
    rows: list[LiveError] = []
    started = time.monotonic()
    for number in range(args.clips):
        for camera in CAMERAS:
            config = ClipConfig(frames=START_FRAME + AGES[-1] + 1, image_size=args.image_size, camera=camera,
                                surface_points=1500)  # fmt: skip
            rows += measure_live(split_clip(args.split, number, config), AGES, LiveConfig(), number)
        sys.stderr.write(f"{number + 1} of {args.clips} clips, {time.monotonic() - started:.0f} s\n")
    sys.stdout.write("\n".join(table_lines(rows)) + "\n")
    return 0


def table_lines(rows: list[LiveError]) -> list[str]:
    """Medians by age and method."""
    titles = {"rotation_deg": "rotation [deg]", "translation": "translation", "points": "points"}
    head = ["age [s]", "lost", *(f"{method}: {title}" for method in METHODS for title in titles.values()), "sigmas"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for age in AGES:
        here = {method: [row for row in rows if row.method == method and row.frames == age] for method in METHODS}
        kept = np.isfinite([row.rotation_deg for row in here[LIVE]])
        cells = [f"{age / 30:.2f}", f"{(~kept).sum()} of {len(kept)}"]
        for method in METHODS:
            for metric in titles:
                values = np.array([getattr(row, metric) for row in here[method]])[kept]
                cells.append(f"{np.median(values):.{1 if metric == 'rotation_deg' else 3}f}")
        cells.append(f"{np.median(np.array([row.sigmas for row in here[LIVE]])[kept]):.1f}")
        lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    sys.exit(main())
