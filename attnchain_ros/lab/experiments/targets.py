"""What was asked of the small checkpoint before it was measured, and what the experiments found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..evaluation.clip_scores import GIVEN, IMAGE
from ..evaluation.methods import DENSE, OURS
from ..report import Section, markdown
from ..table import concat, mean_of, median_of, names_of, select
from .bench import Bench
from .camera import setting_name
from .long import GROWING, OBJECT, growth, variant_name
from .summary import over_still
from .tracks import FLOWS, MESH_ROUTE, occluded

if TYPE_CHECKING:
    import pandas as pd

AT_LEAST, AT_MOST = "at least", "at most"
MEASURED_BY = ("networks", "summary", "tracks", "camera", "long")
"""Experiments that say something about a target."""
Found = Mapping[str, "pd.DataFrame"]
"""Tables by experiment."""


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

    def row(self) -> list[str]:
        """Its row of the table."""
        verdict = {True: "yes", False: "no", None: "not measured"}[self.reached()]
        value = "-" if self.found is None else f"{self.found:.3g}"
        return [self.name, f"{self.side} {self.wanted:g}", value, verdict]


def targets(bench: Bench, tables: Found) -> list[Target]:
    """Every target with what these tables say about it on the test split; by experiment."""
    networks, summary, tracks, camera, long = (
        select(tables.get(name, concat([])), dataset="test") for name in MEASURED_BY
    )
    given, image = (select(summary, group=group) for group in (GIVEN, IMAGE))
    flows = occluded(select(tracks, group=FLOWS))
    drift = select(long, group=OBJECT, variant=variant_name(bench.config))
    posed = select(camera, variant=setting_name(bench.config.camera.refine, None))
    ours = mean_of(select(given, variant=OURS), "last_moved")
    others = [mean_of(select(given, variant=name), "last_moved") for name in names_of(given, "variant") if name != OURS]
    best = min((value for value in others if value is not None), default=None)
    mesh, flow = (mean_of(select(flows, variant=name), "delta_avg") for name in (MESH_ROUTE, DENSE))
    shapes = select(networks, variant="VAE, first frame")
    families = [mean_of(select(shapes, family=family), "iou") for family in names_of(shapes, "family")]

    def overlap(variant: str) -> float | None:
        return mean_of(select(networks, variant=variant), "iou")

    worst = min((value for value in families if value is not None), default=None)
    over_best = ours / best if ours is not None and best else None
    over_flow = mesh / flow if mesh is not None and flow else None
    return [
        Target("IoU of the VAE, creatures", AT_LEAST, 0.96, mean_of(select(shapes, family="creature"), "iou")),
        Target("IoU of the VAE, the worst family", AT_LEAST, 0.93, worst),
        Target("IoU of image to 3D, 4 steps", AT_LEAST, 0.65, overlap("image to 3D, 4 steps")),
        Target("IoU of image to 3D, 30 steps", AT_LEAST, 0.65, overlap("image to 3D, 30 steps")),
        Target("IoU of Stage I, true anchor, frame 8", AT_LEAST, 0.80, overlap("Stage I, frame 8")),
        Target("IoU of Stage I, true anchor, frame 15", AT_LEAST, 0.75, overlap("Stage I, frame 15")),
        Target("points that moved, last frame, anchor given, over still", AT_MOST, 0.30,
               over_still(given, "last_moved")),
        Target("... over the best baseline", AT_MOST, 1.0, over_best),
        Target("all points, last frame, anchor given, over still", AT_MOST, 0.45, over_still(given, "last_all")),
        Target("CD-4D from one image, over the anchor that stays still", AT_MOST, 0.75, over_still(image, "cd_4d")),
        *(Target(f"240 frames, {name}, last window over the first", AT_MOST, 1.5,
                 growth(drift, figure)) for figure, name in GROWING.items()),
        Target("camera rotation, median over clips and motions [deg]", AT_MOST, 5.0, median_of(posed, "rotation_deg")),
        Target("delta_avg of the mesh over DIS flow's, windows with occlusion", AT_LEAST, 1.0, over_flow),
    ]  # fmt: skip


def describe(bench: Bench, tables: Found) -> Section:
    """The table as a section of the report."""
    lines = [
        'Set before the measurements, for the small checkpoint on the split "test"; other checkpoints need not care.',
        "",
        *markdown(["", "wanted", "found", "reached"], [target.row() for target in targets(bench, tables)]),
    ]
    return Section("Targets", lines)
