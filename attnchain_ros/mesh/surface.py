"""From a decoded field to a surface: the anchor mesh, and candidate points S_f for every frame.

A field is a logit, positive inside. The decoder behind it is slow, so both functions evaluate it coarse to fine: all
nodes of a coarse grid, then, of each finer one, only the ends of edges where the sign changes. Grids are cubes over
+-OBJECT_HALF_EXTENT of the object frame, indexed [x, y, z]; a node that was not evaluated holds what the coarser grid
says between its nodes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import fast_simplification
import numpy as np
import torch
from skimage.measure import marching_cubes

from ..config import SurfaceConfig
from ..conventions import OBJECT_HALF_EXTENT
from ..errors import ConfigError, SurfaceError
from ..shapes import check_shape
from .closing import make_manifold
from .components import keep_large_components, open_edges
from .types import Mesh

log = logging.getLogger(__name__)

Field = Callable[[torch.Tensor], torch.Tensor]
"""points [B, n, 3] float32, object frame -> logits [B, n], POSITIVE INSIDE; B fields at once, one per frame."""

Progress = Callable[[int, int], None]
"""Called with (done, total) from time to time; may raise ``Cancelled``."""

HALF_CELL = 3.0**0.5 / 2
"""No point of a cell is further than this from a corner, in cells."""

LEAST_COARSE = 4
"""Cells along an axis of a first grid."""

REACH = 2
"""How many cells of the second grid about each given place are looked at, in every direction."""


def extract_mesh(
    field: Field, config: SurfaceConfig, progress: Progress | None = None, device: torch.device | str = "cpu"
) -> Mesh:
    """Extract the anchor mesh: coarse-to-fine evaluation, marching cubes, large components, decimation.

    Where the surface reaches the cube's sides it is closed there.

    Args:
        field: with B = 1.
        config: grids, ``component_share``, ``target_vertices``, ``query_chunk``.
        progress: see ``Progress``.
        device: where the query points are made.
    Returns:
        a closed manifold in the object frame, faces counter-clockwise from outside, without colours; about
        ``target_vertices`` vertices, fewer where marching cubes has fewer.
    Raises:
        SurfaceError: the field never changes sign, is not finite, or its surface cannot be closed.
        ConfigError: ``grid / coarse_grid`` is no power of two.
    Twin: ``lab.reference.surface.extract_mesh``, a dense grid and no decimation.
    """
    volume = _evaluate_levels(field, 1, config, device, progress).grids[0].cpu().numpy()
    _require_crossing(float(volume.min()), float(volume.max()), 0)
    mesh = keep_large_components(_march(volume), config.component_share)
    return _decimate(mesh, config.target_vertices)


def surface_points(
    field: Field,
    frames: int,
    config: SurfaceConfig,
    generator_seed: int,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    *,
    near: torch.Tensor | None = None,
) -> list[torch.Tensor]:
    """Find candidate surface points S_f of every frame, without a mesh (Eq. 3).

    They are where the field, linear along the edges of the finest grid, crosses zero.

    Args:
        field: with B = ``frames``.
        frames: F.
        config: grids, ``n_surface``, ``query_chunk``.
        generator_seed: seed of the subsampling; the same seed gives the same points, whatever the other frames hold.
        device: where the points are made and returned.
        progress: see ``Progress``.
        near: [n, 3] places about which every frame is looked at closely, whatever its coarsest grid says: with them
            that can be coarser at the same result. None = nowhere.
    Returns:
        F tensors [U_f, 3] float32, object frame; U_f = ``n_surface`` or, where there are fewer crossings, all of them.
    Raises:
        SurfaceError: the field of a frame never changes sign, or is not finite.
        ConfigError: ``grid / coarse_grid`` is no power of two.
    Twin: ``lab.reference.surface.surface_points``, a dense grid and no subsampling.
    """
    levels = _evaluate_levels(field, frames, config, device, progress, near=near)
    found = []
    for frame, values in enumerate(levels.grids):
        points = _crossings(values)
        if len(points) == 0:
            _require_crossing(*levels.ranges[frame], frame)
        if len(points) > config.n_surface:
            rng = np.random.default_rng([generator_seed, frame])
            kept = np.sort(rng.choice(len(points), config.n_surface, replace=False, shuffle=False))
            points = points[torch.from_numpy(kept).to(points.device)]
        found.append(points)
    return found


def candidate_grids(config: SurfaceConfig) -> SurfaceConfig:
    """The grids of candidate points: the finest is ``candidate_grid``, the first half as fine as the anchor mesh's.

    Where the anchor's pose tells where to look closely (``surface_points``, ``near``) the first grid only has to find
    what moved far or appeared: on ten clips of the small checkpoint 99.996 % of the candidates were the same as from
    ``coarse_grid``, from half as many evaluated points.
    """
    halved = config.coarse_grid // 2
    coarse = halved if config.coarse_grid % 2 == 0 and halved >= LEAST_COARSE else config.coarse_grid
    return replace(config, grid=config.candidate_grid, coarse_grid=coarse)


def grid_levels(config: SurfaceConfig) -> list[int]:
    """Cells along an axis at each level, coarsest first.

    Raises:
        ConfigError: ``grid / coarse_grid`` is no power of two.

    >>> grid_levels(SurfaceConfig(grid=128, coarse_grid=32))
    [32, 64, 128]
    """
    levels = [config.coarse_grid]
    while levels[-1] < config.grid:
        levels.append(2 * levels[-1])
    if levels[-1] != config.grid:
        raise ConfigError(
            f"surface.grid (or surface.candidate_grid) is {config.grid} and surface.coarse_grid {config.coarse_grid}: "
            "their ratio must be 1, 2, 4, 8 ..., so set them together"
        )
    return levels


@dataclass(frozen=True)
class _Levels:
    """What the finest grid holds.

    Attributes:
        grids: for each frame [R+1, R+1, R+1] float32; both ends of every edge with a change of sign were evaluated.
        ranges: least and greatest logit of each frame's coarsest grid.
    """

    grids: list[torch.Tensor]
    ranges: list[tuple[float, float]]


def _evaluate_levels(
    field: Field,
    frames: int,
    config: SurfaceConfig,
    device: torch.device | str,
    progress: Progress | None,
    *,
    near: torch.Tensor | None = None,
) -> _Levels:
    """Every level in turn.

    A finer grid begins with what the coarser one says between its nodes. The ends of edges where that changes sign are
    evaluated; where a value found has another sign than a neighbour that was not evaluated, the neighbour is next,
    until no such neighbour is left: the surface is followed wherever it goes.
    """
    sizes = grid_levels(config)
    ranges: list[tuple[float, float]] = []
    grids = [torch.zeros((sizes[0] + 1,) * 3, device=device) for _ in range(frames)]
    known = [torch.zeros_like(grid, dtype=torch.bool) for grid in grids]
    for number, cells in enumerate(sizes):

        def report(share: float, begin: float = 0.0, end: float = 1.0, number: int = number) -> None:
            if progress is not None:
                progress(round(100 * (number + begin + (end - begin) * share) / len(sizes)), 100)

        if number == 0:
            wanted = [torch.arange(grids[0].numel(), device=device)] * frames
        else:
            wanted = []
            for frame in range(frames):
                suspect = _nodes_of(_cells_with_hidden_sheets(grids[frame]))
                grids[frame], known[frame] = _finer(grids[frame], known[frame])
                ends = _ends_of_changes(grids[frame] > 0) | suspect
                if number == 1 and near is not None:
                    ends |= _nodes_about(near, cells)
                ends &= ~known[frame]
                wanted.append(torch.nonzero(ends.view(-1))[:, 0])
        done = 0
        while any(len(index) for index in wanted):
            # The first round is nearly all of it; how many follow is not known.
            begin, end = (0.0, 0.9) if done == 0 else (1 - 0.1 / done, 1 - 0.1 / (done + 1))
            values = _query(field, wanted, cells, config, partial(report, begin=begin, end=end))
            for grid, there, index, found in zip(grids, known, wanted, values, strict=True):
                grid.view(-1)[index] = found
                there.view(-1)[index] = True
            wanted = [_next_along_surface(*parts) for parts in zip(grids, known, wanted, strict=True)]
            done += 1
        report(1.0)
        if number == 0:
            ranges = [(float(grid.min()), float(grid.max())) for grid in grids]
    return _Levels(grids, ranges)


def _query(
    field: Field,
    wanted: list[torch.Tensor],
    cells: int,
    config: SurfaceConfig,
    report: Callable[[float], None],
) -> list[torch.Tensor]:
    """Evaluate every frame's own nodes (flat indices) together; shorter lists are padded with their first node."""
    frames, longest = len(wanted), max(len(index) for index in wanted)
    device = wanted[0].device
    padded = torch.zeros(frames, longest, dtype=torch.int64, device=device)
    for row, index in zip(padded, wanted, strict=True):
        if len(index):
            row[:] = index[0]
            row[: len(index)] = index
    values = torch.empty(frames, longest, device=device)
    step = max(1, config.query_chunk // frames)
    for begin in range(0, longest, step):
        flat = padded[:, begin : begin + step]
        nodes = torch.stack([flat // (cells + 1) ** 2, flat // (cells + 1) % (cells + 1), flat % (cells + 1)], dim=-1)
        logits = field(_to_object(nodes, cells))
        check_shape("the field's logits", logits, "B n", B=frames, n=flat.shape[1])
        values[:, begin : begin + step] = logits.to(values)
        report(min(1.0, (begin + step) / longest))
    if not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise SurfaceError(
            f"{bad} of {values.numel()} decoded logits are not finite: check the latent and the weights, or use float32"
        )
    return [row[: len(index)] for row, index in zip(values, wanted, strict=True)]


def _finer(grid: torch.Tensor, known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A grid and what is known of it at twice the resolution, linear between its nodes."""
    size = (2 * grid.shape[0] - 1,) * 3
    finer = torch.nn.functional.interpolate(grid[None, None], size=size, mode="trilinear", align_corners=True)[0, 0]
    # Interpolation rounds: the nodes themselves are kept as they are.
    finer[::2, ::2, ::2] = grid
    there = torch.zeros(size, dtype=torch.bool, device=grid.device)
    there[::2, ::2, ::2] = known
    return finer, there


def _ends_of_changes(inside: torch.Tensor) -> torch.Tensor:
    """Nodes [R+1, R+1, R+1] with a neighbour along an axis on the other side of the surface."""
    ends = torch.zeros_like(inside)
    for axis in range(3):
        last = inside.shape[axis] - 1
        change = inside.narrow(axis, 0, last) ^ inside.narrow(axis, 1, last)
        ends.narrow(axis, 0, last).logical_or_(change)
        ends.narrow(axis, 1, last).logical_or_(change)
    return ends


def _next_along_surface(grid: torch.Tensor, known: torch.Tensor, fresh: torch.Tensor) -> torch.Tensor:
    """Neighbours of freshly evaluated nodes (flat indices) that are not known and seem to lie on the other side."""
    side = grid.shape[0]
    inside, there = grid.view(-1), known.view(-1)
    found = []
    for stride in (side * side, side, 1):
        place = fresh // stride % side
        for step, stays in ((-stride, place > 0), (stride, place < side - 1)):
            start = fresh[stays]
            other = start + step
            found.append(other[((inside[start] > 0) != (inside[other] > 0)) & ~there[other]])
    return torch.unique(torch.cat(found))


def _nodes_about(points: torch.Tensor, cells: int) -> torch.Tensor:
    """Nodes [R+1, R+1, R+1] bool that are corners of the cells that hold points, or of their neighbours."""
    place = ((points + OBJECT_HALF_EXTENT) * (cells / (2 * OBJECT_HALF_EXTENT))).floor().long().clamp_(0, cells - 1)
    held = torch.zeros((cells,) * 3, dtype=torch.bool, device=points.device)
    held[tuple(place.unbind(-1))] = True
    return torch.nn.functional.max_pool3d(held[None, None].float(), 2 * REACH, 1, REACH)[0, 0] > 0


def _to_object(nodes: torch.Tensor, cells: int) -> torch.Tensor:
    """Grid positions [..., 3] in cells -> object frame, float32."""
    return nodes.to(torch.float32) * (2 * OBJECT_HALF_EXTENT / cells) - OBJECT_HALF_EXTENT


def _cells_with_hidden_sheets(values: torch.Tensor) -> torch.Tensor:
    """Cells [R, R, R] whose field may reach zero inside although no sign changes in them or across one of their faces.

    There the field's own slope could bring it to zero before the cell's centre: so are sheets found that are thinner
    than a cell and touch no node. Comparing with the slope makes the test independent of the field's scale.
    """
    inside = values > 0
    mixed = _any_corner(inside) & _any_corner(~inside)
    beside = mixed.clone()
    slope = torch.zeros_like(values)
    for axis in range(3):
        last = mixed.shape[axis] - 1
        beside.narrow(axis, 1, last).logical_or_(mixed.narrow(axis, 0, last))
        beside.narrow(axis, 0, last).logical_or_(mixed.narrow(axis, 1, last))
        change = torch.diff(values, dim=axis).abs_()
        steepest = torch.zeros_like(values)
        steepest.narrow(axis, 0, last + 1).copy_(change)
        ahead = steepest.narrow(axis, 1, last + 1)
        torch.maximum(ahead, change, out=ahead)
        slope.addcmul_(steepest, steepest)
    return _any_corner(values.abs() <= HALF_CELL * slope.sqrt_()) & ~beside


def _any_corner(nodes: torch.Tensor) -> torch.Tensor:
    """[R+1, R+1, R+1] bool nodes -> [R, R, R] cells with such a corner."""
    for axis in range(3):
        last = nodes.shape[axis] - 1
        nodes = nodes.narrow(axis, 0, last) | nodes.narrow(axis, 1, last)
    return nodes


def _nodes_of(cells: torch.Tensor) -> torch.Tensor:
    """[R, R, R] bool cells -> [2R+1, 2R+1, 2R+1] nodes of the next level that lie in or on them."""
    for axis in range(3):
        shape = list(cells.shape)
        shape[axis] = 2 * shape[axis] + 1
        nodes = torch.zeros(shape, dtype=torch.bool, device=cells.device)
        for offset in range(3):
            part = [slice(None)] * 3
            part[axis] = slice(offset, offset + shape[axis] - 2 if offset < 2 else None, 2)
            nodes[tuple(part)] |= cells
        cells = nodes
    return cells


def _crossings(values: torch.Tensor) -> torch.Tensor:
    """Zero crossings [U, 3] on the edges of a grid, object frame; ordered by axis, then by node."""
    inside, outside = values > 0, values <= 0
    cells = values.shape[0] - 1
    points = []
    for axis in range(3):
        low, high = (slice(0, cells), slice(1, cells + 1))
        a = tuple(low if i == axis else slice(None) for i in range(3))
        b = tuple(high if i == axis else slice(None) for i in range(3))
        index = torch.nonzero((inside[a] & outside[b]) | (outside[a] & inside[b]))
        x, y, z = index.unbind(dim=1)
        start, end = values[a][x, y, z], values[b][x, y, z]
        place = index.to(torch.float32)
        place[:, axis] += start / (start - end)
        points.append(_to_object(place, cells))
    return torch.cat(points)


def _require_crossing(low: float, high: float, frame: int) -> None:
    if not (low <= 0 < high):
        raise SurfaceError(
            f"the field of frame {frame} has no surface: its logits, {low:.4g} to {high:.4g}, never cross 0; "
            "check the mask and the image it was made from, or raise surface.coarse_grid for very thin objects"
        )


def _march(volume: np.ndarray) -> Mesh:
    """Marching cubes over a full grid, closed at the cube's sides."""
    cells = volume.shape[0] - 1
    # A node exactly on the surface would make triangles without area.
    volume = np.where(volume == 0, np.float32(-1e-6) * np.abs(volume).max(), volume)
    padded = np.pad(volume, 1, constant_values=-float(volume.max()))
    places, faces, _, _ = marching_cubes(padded, level=0.0, gradient_direction="ascent")
    places = np.clip(places.astype(np.float64) - 1, 0, cells)
    vertices = (places * (2 * OBJECT_HALF_EXTENT / cells) - OBJECT_HALF_EXTENT).astype(np.float32)
    faces = faces.astype(np.int32)
    return Mesh(*_close(vertices, faces))


def _close(vertices: np.ndarray, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part surfaces that touch; SurfaceError if the mesh has holes."""
    left = open_edges(faces)
    if left == 0:
        return vertices, faces
    parted = make_manifold(vertices, faces)
    if parted is None:
        raise SurfaceError(f"marching cubes left {left} open edges: use another surface.grid")
    return parted


def _decimate(mesh: Mesh, target_vertices: int) -> Mesh:
    """Collapse edges down to about ``target_vertices`` (a closed surface has two faces per vertex); stays closed.

    The collapse can pinch thin parts into edges with more than two faces, which are parted again. Should it tear a
    hole, it is run again more or less eagerly.
    """
    if len(mesh.vertices) <= target_vertices:
        return mesh
    target_faces = max(4, len(mesh.faces) + 2 * (target_vertices - len(mesh.vertices)))
    for eagerness in (5.0, 3.0, 7.0):
        vertices, faces = fast_simplification.simplify(
            mesh.vertices, mesh.faces, target_count=target_faces, agg=eagerness
        )
        vertices, faces = np.asarray(vertices, np.float32), np.asarray(faces, np.int32)
        if len(faces) and np.isfinite(vertices).all():
            closed = (vertices, faces) if open_edges(faces) == 0 else make_manifold(vertices, faces)
            if closed is not None:
                return keep_large_components(Mesh(*closed), 0.0)
        log.info("decimation with eagerness %g tore the mesh, trying another", eagerness)
    log.warning("decimation tore the mesh every time: it keeps its %d vertices", len(mesh.vertices))
    return mesh
