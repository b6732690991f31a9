"""How many points and steps the ActionBench metrics take."""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import ConfigError

ALL_STARTS = 24
"""Number of axis-aligned rotations the alignment starts from."""


@dataclass(frozen=True)
class ActionBenchConfig:
    """Counts of the ActionBench metrics; the defaults are the published ones.

    Attributes:
        points: area-weighted samples of the mesh in each frame.
        queries: random points of one side that look for their nearest point in the whole cloud of the other side.
        align_points: points of each side that the alignment sees.
        starts: how many of the 24 axis-aligned rotations the alignment starts from; the first is the identity.
        iterations: Adam steps from every start, all starts at once.
        learning_rate: of Adam.
        seed: of all samples; frame f is sampled with seed + f.
    Raises:
        ConfigError: a count is below 1, or there are more starts than rotations.
    """

    points: int = 100_000
    queries: int = 10_000
    align_points: int = 10_000
    starts: int = ALL_STARTS
    iterations: int = 200
    learning_rate: float = 0.01
    seed: int = 42

    def __post_init__(self) -> None:
        for name in ("points", "queries", "align_points", "starts", "iterations"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}, must be at least 1: raise it")
        if self.starts > ALL_STARTS:
            raise ConfigError(f"starts is {self.starts}, there are {ALL_STARTS} axis-aligned rotations: lower it")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate is {self.learning_rate}, must be above 0: raise it")
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}, must be at least 0")

    def describe(self) -> str:
        """The counts in one line, for the head of a table.

        >>> ActionBenchConfig(points=2000, queries=500, align_points=300, starts=1, iterations=40).describe()
        '2000 points a frame, 500 queries; aligned on 300 points, 1 start, 40 iterations; seed 42'
        """
        starts = f"{self.starts} start" + ("s" if self.starts > 1 else "")
        return (
            f"{self.points} points a frame, {self.queries} queries; aligned on {self.align_points} points, "
            f"{starts}, {self.iterations} iterations; seed {self.seed}"
        )


PUBLISHED = ActionBenchConfig()
REDUCED = ActionBenchConfig(points=8000, queries=2000, align_points=1000, starts=1, iterations=40)
"""For processors without a GPU: a few seconds for a sequence of 16 frames."""
