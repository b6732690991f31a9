"""Making the anchor: from a mesh that the user gives, or from the first image by Stage 0; and encoding posed meshes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from ..backbone import Backbone
from ..camera.poses import rotation_from_degrees
from ..config import RolloutConfig
from ..mesh.anchor import LaidAnchor, lay_anchor, merge_duplicates
from ..mesh.components import connected_components
from ..mesh.geodesic import skinning_weights
from ..mesh.landmarks import pick_landmarks
from ..mesh.sampling import sample_surface
from ..mesh.surface import extract_mesh
from ..mesh.types import Mesh
from .state import Anchor
from .watch import Progress


def given_anchor(mesh: Mesh, config: RolloutConfig) -> Anchor:
    """Anchor from a user's mesh: welded, turned outward, centred, brought to the size that the weights know.

    Results go back to the user's own vertices.

    Raises:
        MeshError, ConfigError: the mesh or the rotation cannot be used.
    """
    return finish_anchor(
        lay_anchor(mesh, rotation_from_degrees(config.anchor_rotation_deg), config.anchor_longest_side), config
    )


def finish_anchor(laid: LaidAnchor, config: RolloutConfig) -> Anchor:
    """Landmarks and skinning weights for a mesh that was laid into the canonical frame; 0.3 ms a vertex."""
    found = _finish(laid.mesh, laid.expand, laid.faces, laid.colors, laid.user_from_object, config)
    return replace(found, turned=laid.turned)


def canonical_anchor(mesh: Mesh, config: RolloutConfig) -> Anchor:
    """Anchor from a mesh that is in the canonical frame already (Stage 0's, or a synthetic truth): used as it is."""
    merged, expand = merge_duplicates(mesh)
    return _finish(merged, expand, mesh.faces, mesh.vertex_colors, np.eye(4), config)


def image_anchor(
    backbone: Backbone, image: np.ndarray, config: RolloutConfig, progress: Progress
) -> tuple[Anchor, torch.Tensor]:
    """Anchor and its latent from one prepared image [S, S, 3] uint8 (Stage 0).

    Raises:
        SurfaceError: the generated field has no surface.
    """
    sampling = config.sampling
    latent = backbone.image_to_latent(
        image,
        sampling.stage0_steps,
        sampling.stage0_guidance,
        sampling.seed,
        lambda done, total: progress("image to 3D", done, total),
    )
    field = backbone.decode(latent[None])
    with torch.no_grad():
        mesh = extract_mesh(field.logits, config.surface, lambda d, t: progress("anchor mesh", d, t), backbone.device)
    return canonical_anchor(mesh, config), latent


def encode_mesh(
    backbone: Backbone, vertices: np.ndarray, faces: np.ndarray, config: RolloutConfig, window: int
) -> torch.Tensor:
    """Latent [N, c] of a posed mesh in the canonical frame as it is: never re-centred or re-scaled.

    Args:
        vertices: [V, 3] float32 object frame.
        faces: [T, 3] int32.
        window: number of the window, part of the seed of the surface samples.
    """
    rng = np.random.default_rng([config.sampling.seed, window])
    points, normals, _, _ = sample_surface(vertices, faces, config.encode_points, rng)
    return backbone.encode_surface(points.astype(np.float32), normals.astype(np.float32))


def _finish(
    mesh: Mesh,
    expand: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray | None,
    user_from_object: np.ndarray,
    config: RolloutConfig,
) -> Anchor:
    options = config.animation
    count = min(options.landmarks, len(mesh.vertices))
    landmarks = pick_landmarks(mesh.vertices, mesh.faces, count, options.curvature_boost)
    component = connected_components(mesh.faces, len(mesh.vertices))[landmarks]
    weights = skinning_weights(mesh.vertices, mesh.faces, landmarks, options.k_nn, options.sigma_geo)
    return Anchor(mesh, expand, faces, colors, landmarks, component.astype(np.int64), weights, user_from_object)
