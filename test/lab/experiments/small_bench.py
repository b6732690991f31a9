"""Options and counts that make the tiny checkpoint quick."""

from __future__ import annotations

from attnchain_ros.lab.evaluation.actionbench_config import ActionBenchConfig

SMALL = {
    "surface.grid": 16, "surface.coarse_grid": 8, "surface.candidate_grid": 16, "surface.n_surface": 64,
    "encode_points": 128, "animation.landmarks": 24, "sampling.steps": 2, "sampling.stage0_steps": 1,
    "tracks.max_queries": 16, "camera.iterations": 20,
}  # fmt: skip
COUNTS = ActionBenchConfig(points=200, queries=100, align_points=50, starts=1, iterations=2)
