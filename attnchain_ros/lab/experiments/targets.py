"""What was asked of the small checkpoint before it was measured, and what the experiments found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..evaluation.records import OURS
from .bench import Bench
from .camera import setting_name
from .long import GROWING, OBJECT, variant_name
from .rows import Row, mean_of, median_of, names_of, pooled_ratio, select
from .summary import GIVEN, IMAGE
from .tracks import FLOWS, MESH_ROUTE, occluded

AT_LEAST, AT_MOST = "at least", "at most"
Found = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class Target:
    """One line of the table.

    Attributes:
        name: what is measured.   side: ``AT_LEAST`` or ``AT_MOST``.   wanted: the bound.
        found: what came out; None = not measured in this run.
    """

    name: str
    side: str
    wanted: float
    found: float | None

    def reached(self) -> bool | None:
        """Whether the bound is kept; None = not measured."""
        if self.found is None:
            return None
        return self.found >= self.wanted if self.side == AT_LEAST else self.found <= self.wanted

    def line(self) -> str:
        """Its line of the table."""
        verdict = {True: "yes", False: "no", None: "not measured"}[self.reached()]
        value = "-" if self.found is None else f"{self.found:.3g}"
        return f"| {self.name} | {self.side} {self.wanted:g} | {value} | {verdict} |"


def targets(bench: Bench, rows: Found) -> list[Target]:
    """Every target with what these rows of the test split say about it; by experiment."""
    test = {name: select(own, split="test") for name, own in rows.items()}
    networks, summary, camera = (test.get(name, []) for name in ("networks", "summary", "camera"))
    given, image = (select(summary, table=table, setting=OURS) for table in (GIVEN, IMAGE))
    tracks = occluded([row for row in test.get("tracks", ()) if row.table.startswith(FLOWS)])
    drift = select(test.get("long", ()), table=OBJECT, setting=variant_name(bench.config))
    posed = select(camera, setting=setting_name(bench.config.camera.refine, None))
    ours = mean_of(given, "last_moved")
    others = [mean_of(select(summary, table=GIVEN, setting=name), "last_moved")
              for name in names_of(select(summary, table=GIVEN), "setting") if name != OURS]  # fmt: skip
    best = min((value for value in others if value is not None), default=None)
    mesh, flow = (mean_of(select(tracks, setting=name), "delta_avg") for name in (MESH_ROUTE, "DIS flow"))
    shapes = select(networks, setting="VAE, first frame")
    families = [mean_of(select(shapes, family=family), "iou") for family in names_of(shapes, "family")]

    def overlap(setting: str) -> float | None:
        return mean_of(select(networks, setting=setting), "iou")

    worst = min((value for value in families if value is not None), default=None)
    over_best = ours / best if ours is not None and best else None
    over_flow = mesh / flow if mesh is not None and flow else None
    moved, everything = (pooled_ratio(given, name, f"still_{name}") for name in ("last_moved", "last_all"))
    return [
        Target("IoU of the VAE, creatures", AT_LEAST, 0.96, mean_of(select(shapes, family="creature"), "iou")),
        Target("IoU of the VAE, the worst family", AT_LEAST, 0.93, worst),
        Target("IoU of image to 3D, 4 steps", AT_LEAST, 0.65, overlap("image to 3D, 4 steps")),
        Target("IoU of image to 3D, 30 steps", AT_LEAST, 0.65, overlap("image to 3D, 30 steps")),
        Target("IoU of Stage I, true anchor, frame 8", AT_LEAST, 0.80, overlap("Stage I, frame 8")),
        Target("IoU of Stage I, true anchor, frame 15", AT_LEAST, 0.75, overlap("Stage I, frame 15")),
        Target("points that moved, last frame, anchor given, over still", AT_MOST, 0.30, moved),
        Target("... over the best baseline", AT_MOST, 1.0, over_best),
        Target("all points, last frame, anchor given, over still", AT_MOST, 0.45, everything),
        Target("CD-4D from one image, over the anchor that stays still", AT_MOST, 0.75,
               pooled_ratio(image, "cd_4d", "still_cd_4d")),
        *(Target(f"240 frames, {name}, last window over the first", AT_MOST, 1.5,
                 pooled_ratio(drift, f"{figure}_last", f"{figure}_first")) for figure, name in GROWING.items()),
        Target("camera rotation, median over clips and motions [deg]", AT_MOST, 5.0, median_of(posed, "rotation")),
        Target("delta_avg of the mesh over DIS flow's, windows with occlusion", AT_LEAST, 1.0, over_flow),
    ]  # fmt: skip


def target_lines(bench: Bench, rows: Found) -> list[str]:
    """The table as Markdown."""
    return [
        'Set before the measurements, for the small checkpoint on the split "test"; other checkpoints need not care.',
        "",
        "| | wanted | found | reached |",
        "|---|---|---|---|",
        *(target.line() for target in targets(bench, rows)),
    ]
