"""ActionBench: Chamfer distances of an animated mesh to true, tracked point clouds (CD-3D, CD-4D, CD-M)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from ...camera.tracks3d import carry_points
from ...errors import InputError
from ...mesh.sampling import sample_surface
from ...shapes import check_shape
from ..table import Curves, Figures
from .actionbench_config import ActionBenchConfig
from .adam_alignment import align_frames
from .alignment import apply_similarity
from .normals import carry_normals, choose_rows, face_normal_consistency, nearest_normal_consistency

_ALIGNED_TOGETHER = 500_000
"""Most points, over frames and starts, that are aligned in one go (a few hundred MB while they are)."""


@dataclass(frozen=True)
class TrueClouds:
    """Points of the true surface, each the same point of the object in all frames.

    Attributes:
        points: [F, P, 3] any units; nothing is normalised.
        normals: [F, P, 3] unit normals, or None where the truth has none.
    """

    points: np.ndarray
    normals: np.ndarray | None = None

    def __post_init__(self) -> None:
        axes = check_shape("true points", self.points, "F P 3")
        if self.normals is not None:
            check_shape("true normals", self.normals, "F P 3", **axes)
        if axes["F"] == 0 or axes["P"] == 0 or not np.isfinite(self.points).all():
            raise InputError(f"the true clouds have shape {list(self.points.shape)} or points that are not finite")


@dataclass(frozen=True)
class CloudScores:
    """ActionBench's figures of one sequence, in the truth's units; distances are not squared, both directions summed.

    Attributes:
        cd_3d: an alignment in each frame, mean over frames; cd_4d: the alignment of the first frame for all.
        cd_m: points fixed to the surface, matched in the first frame, under that frame's alignment.
        raw_cd_3d, raw_cd_4d, raw_cd_m: the same without any alignment (then CD-3D and CD-4D are one number).
        normals_nearest: mean |cos| of nearest normals after the CD-3D alignment, None without true normals.
        normals_faces: mean cosine between adjacent faces of the mesh itself.
        frames_3d, frames_4d, frames_raw: CD of every frame, under each alignment.
    """

    cd_3d: float
    cd_4d: float
    cd_m: float
    raw_cd_3d: float
    raw_cd_4d: float
    raw_cd_m: float
    normals_nearest: float | None
    normals_faces: float
    frames_3d: tuple[float, ...]
    frames_4d: tuple[float, ...]
    frames_raw: tuple[float, ...]

    @property
    def figures(self) -> Figures:
        """By metric; not aligned, CD-3D and CD-4D are one number."""
        names = ("cd_3d", "cd_4d", "cd_m", "raw_cd_3d", "raw_cd_m", "normals_nearest", "normals_faces")
        return {name: getattr(self, name) for name in names}

    @property
    def curves(self) -> Curves:
        """By metric, one value for each frame."""
        return {"frame_raw": list(self.frames_raw), "frame_3d": list(self.frames_3d)}


def cloud_distance(found: np.ndarray, truth: np.ndarray, queries: int, seed: int, tree: cKDTree | None = None) -> float:
    """Mean distance to the nearest point of the whole other cloud, both directions summed.

    Args:
        found: [n, 3]; truth: [m, 3].
        queries: random points of each side that ask; all of them where there are not more.
        seed: of the choice in ``found``; that in ``truth`` takes seed + 1.
        tree: of ``truth``, where it is there already.
    """
    check_shape("found", found, "n 3")
    check_shape("truth", truth, "m 3")
    there = (cKDTree(truth) if tree is None else tree).query(found[choose_rows(len(found), queries, seed)])[0]
    back = cKDTree(found).query(truth[choose_rows(len(truth), queries, seed + 1)])[0]
    return float(there.mean() + back.mean())


def motion_distance(found: np.ndarray, truth: np.ndarray) -> float:
    """CD-M: nearest neighbours are chosen in the first frame and followed; mean over time and points, both directions.

    Args:
        found: [F, n, 3] and truth: [F, m, 3] points that each stay on their place of the object.
    """
    axes = check_shape("found", found, "F n 3")
    check_shape("truth", truth, "F m 3", "compare the same frames", **axes)
    to_truth = cKDTree(truth[0]).query(found[0])[1]
    to_found = cKDTree(found[0]).query(truth[0])[1]
    there = np.linalg.norm(found - truth[:, to_truth], axis=2).mean()
    back = np.linalg.norm(truth - found[:, to_found], axis=2).mean()
    return float(there + back)


def score_clouds(
    vertices: np.ndarray,
    faces: np.ndarray,
    truth: TrueClouds,
    config: ActionBenchConfig,
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] | None = None,
) -> CloudScores:
    """All of ActionBench's figures for one animated mesh, with and without the alignment.

    Args:
        vertices: [F, V, 3] the mesh found in each frame; faces: [T, 3].
        truth: clouds of the same frames.
        config: counts and seed.
        device: where the alignment computes.
        progress: called with (frames done, frames in all).
    Raises:
        ShapeError, MeshError: not the same frames, or no mesh.
    """
    frames = check_shape("vertices", vertices, "F V 3", "compare the same frames", F=len(truth.points))["F"]
    true_points = np.asarray(truth.points, np.float64)
    trees = [cKDTree(cloud) for cloud in true_points]
    chosen = choose_rows(true_points.shape[1], config.align_points, config.seed)
    first = np.eye(4)
    distances = np.empty((frames, 3))
    cosines: list[float] = []
    together = max(1, _ALIGNED_TOGETHER // (config.starts * config.align_points))
    for begin in range(0, frames, together):
        group = range(begin, min(begin + together, frames))
        samples = [
            sample_surface(vertices[frame], faces, config.points, np.random.default_rng(config.seed + frame))[:2]
            for frame in group
        ]
        # A cloud is drawn in random order: its first points are a sample of it.
        small = np.stack([cloud[: config.align_points] for cloud, _ in samples])
        alignments = align_frames(small, true_points[group.start : group.stop, chosen], config, device)
        first = alignments[0] if begin == 0 else first
        for frame, own, (cloud, normals) in zip(group, alignments, samples, strict=True):
            aligned = apply_similarity(own, cloud)
            for column, points in enumerate((aligned, apply_similarity(first, cloud), cloud.astype(np.float64))):
                distances[frame, column] = cloud_distance(
                    points, true_points[frame], config.queries, config.seed, trees[frame]
                )
            if truth.normals is not None:
                ours = (aligned, carry_normals(own, normals))
                true = (true_points[frame], np.asarray(truth.normals[frame], np.float64))
                cosines.append(nearest_normal_consistency(ours, true, config.queries, config.seed))
            if progress is not None:
                progress(frame + 1, frames)
    _, _, face, weights = sample_surface(vertices[0], faces, config.points, np.random.default_rng(config.seed))
    carried = carry_points(np.asarray(vertices), faces, face, weights).astype(np.float64)
    means = distances.mean(axis=0)
    return CloudScores(
        cd_3d=float(means[0]),
        cd_4d=float(means[1]),
        cd_m=motion_distance(apply_similarity(first, carried), true_points),
        raw_cd_3d=float(means[2]),
        raw_cd_4d=float(means[2]),
        raw_cd_m=motion_distance(carried, true_points),
        normals_nearest=float(np.mean(cosines)) if cosines else None,
        normals_faces=float(np.mean([face_normal_consistency(frame, faces) for frame in vertices])),
        frames_3d=tuple(distances[:, 0].tolist()),
        frames_4d=tuple(distances[:, 1].tolist()),
        frames_raw=tuple(distances[:, 2].tolist()),
    )
