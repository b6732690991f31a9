"""How far a window's camera poses may be off, from what can be measured without the truth.

Not in the paper. The pose of the first frame is checked by the outline of the anchor, whose shape is known there better
than anywhere else: where it lies on the mask's, the pose is right to a degree or so; what of the overlap is lost grows
with the error, and fast. From there on the error grows frame by frame, since with the background cut away nobody can
tell a camera that goes round an object from an object that turns. The numbers below were fitted on validation clips of
the small checkpoint (docs/method.md); how often the truth lies inside is measured on test clips (``attnchain
experiments --only poses``, docs/results.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..shapes import check_shape


@dataclass(frozen=True)
class Fit:
    """One kind of error: ``base`` where nothing of the overlap is lost, ``loss`` for each unit that is."""

    base: float
    loss: float


@dataclass(frozen=True)
class AnchorKind:
    """What an anchor's outline tells about the pose of a window's first frame (standard deviations).

    Attributes:
        always: share of the overlap that is lost where the pose is right: edges of pixels, and errors of the mesh.
        turn_deg: of the rotation about each axis, degrees.
        across: of the place, sideways; along: towards or away from the camera; shares of the object's diagonal.
    """

    always: float
    turn_deg: Fit
    across: Fit
    along: Fit


GIVEN = AnchorKind(0.025, Fit(0.85, 900.0), Fit(0.0041, 0.68), Fit(0.0072, 0.94))
"""A given mesh in its first window: its shape is exact, so every loss of overlap is an error of the pose."""

GENERATED = AnchorKind(0.15, Fit(9.0, 120.0), Fit(0.04, 0.72), Fit(0.043, 0.96))
"""A mesh made from the first image, in its first window."""

CARRIED = AnchorKind(0.2, Fit(3.2, 60.0), Fit(0.0106, 0.26), Fit(0.04, 0.09))
"""A mesh that was animated through earlier windows; what the first one was off is added."""

SILHOUETTE = AnchorKind(0.05, Fit(6.5, 58.0), Fit(0.022, 0.2), Fit(0.053, 2.0))
"""Any mesh with ``camera.refine: silhouette``: the direction of view is that of attention's coarse patches."""

PATCHES = AnchorKind(0.2, Fit(6.7, 98.0), Fit(0.018, 0.43), Fit(0.12, 0.35))
"""Any mesh with ``camera.refine: none``: patches blur the outline inwards, so that overlap is lost in any case."""

MOST_LOST = 0.4
"""Loss beyond ``always`` from which the error grows no more: the pose is wrong."""

GROWTH = (0.2, 0.7)
"""Degrees added from frame to frame: by the mesh, and for each degree that the camera may turn (``turn_deg``)."""

GROWTH_ACROSS, GROWTH_ALONG = (0.0007, 0.00105), (0.002, 0.0031)
"""The same of the place, shares of the object's diagonal."""


def anchor_kind(refine: str, first_window: bool, given: bool) -> AnchorKind:
    """Which numbers hold.

    Args:
        refine: ``camera.refine``.
        first_window: since the last reset.
        given: the anchor is a mesh that was given, not made from the first image.
    """
    if refine != "outline":
        return SILHOUETTE if refine == "silhouette" else PATCHES
    if not first_window:
        return CARRIED
    return GIVEN if given else GENERATED


@dataclass(frozen=True)
class FirstError:
    """What the pose of a window's first frame may be off (standard deviations).

    Attributes:
        turn_deg: about each axis, degrees.
        across, along: of the place; shares of the object's diagonal.
    """

    turn_deg: float
    across: float
    along: float

    @classmethod
    def of(cls, lost: float, kind: AnchorKind, before: FirstError | None = None) -> FirstError:
        """From the overlap.

        Args:
            lost: 1 - the overlap of the posed mesh and the mask, 0 to 1.
            kind: of anchor.
            before: what the first window was off, which the later ones go on from.
        """
        beyond = min(max(lost - kind.always, 0.0), MOST_LOST)
        errors = [[fit.base, fit.loss * beyond] for fit in (kind.turn_deg, kind.across, kind.along)]
        if before is not None:
            for own, other in zip(errors, (before.turn_deg, before.across, before.along), strict=True):
                own.append(other)
        return cls(*(math.hypot(*own) for own in errors))


@dataclass(frozen=True)
class PoseSigmas:
    """Standard deviations of the poses of F frames.

    Attributes:
        turn_deg: [F] of the rotation about each axis, degrees.
        across: [F] sideways; along: [F] along the ray to the object; object units.
    """

    turn_deg: np.ndarray
    across: np.ndarray
    along: np.ndarray


def pose_sigmas(first: FirstError, frames: int, turn_deg: float, diagonal: float) -> PoseSigmas:
    """What a window's poses may be off, frame by frame.

    Args:
        first: of its first frame.
        frames: F.
        turn_deg: how far the camera may turn from one frame to the next (``camera.turn_deg``).
        diagonal: of the object's box, object units.
    """
    steps = np.arange(frames, dtype=np.float64)

    def grown(start: float, growth: tuple[float, float]) -> np.ndarray:
        total: np.ndarray = np.sqrt(start**2 + (growth[0] ** 2 + (growth[1] * turn_deg) ** 2) * steps**2)
        return total

    return PoseSigmas(
        np.minimum(grown(first.turn_deg, GROWTH), 180.0),
        diagonal * grown(first.across, GROWTH_ACROSS),
        diagonal * grown(first.along, GROWTH_ALONG),
    )


def pose_covariances(camera_from_object: np.ndarray, middles: np.ndarray, sigmas: PoseSigmas) -> np.ndarray:
    """Covariances [F, 6, 6] of poses [F, 4, 4]: shift x, y, z, then turns about x, y, z, all in the optical frame.

    The object's middle is off by ``along`` on the ray to it and by ``across`` at right angles; the rotation, about that
    middle, by the same in all directions and independently. Where the frame's origin lies elsewhere, the turn moves it.

    Args:
        camera_from_object: [F, 4, 4].   middles: [F, 3] the object's middle, object frame, object units.
        sigmas: of the same frames.
    Returns:
        lengths in object units squared, angles in radians squared.
    Raises:
        ShapeError: sizes disagree.
    Twin: ``lab.reference.poses.pose_covariances``.
    """
    axes = check_shape("camera_from_object", camera_from_object, "F 4 4")
    check_shape("middles", middles, "F 3", **axes)
    check_shape("sigmas.turn_deg", sigmas.turn_deg, "F", **axes)
    lever = np.einsum("fij,fj->fi", np.asarray(camera_from_object, np.float64)[:, :3, :3], middles)
    place = lever + camera_from_object[:, :3, 3]
    ray = place / np.maximum(np.linalg.norm(place, axis=1, keepdims=True), 1e-12)
    out = ray[:, :, None] * ray[:, None, :]
    middle = np.zeros((axes["F"], 6, 6))
    across, along = sigmas.across[:, None, None] ** 2, sigmas.along[:, None, None] ** 2
    middle[:, :3, :3] = across * (np.eye(3) - out) + along * out
    middle[:, 3:, 3:] = np.radians(sigmas.turn_deg)[:, None, None] ** 2 * np.eye(3)
    # A turn w about the middle moves the origin, which lies at -lever from it, by -(w x lever) = [lever]x w.
    jacobian = np.tile(np.eye(6), (axes["F"], 1, 1))
    x, y, z = lever.T
    zero = np.zeros(axes["F"])
    jacobian[:, :3, 3:] = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
    moved: np.ndarray = jacobian @ middle @ np.swapaxes(jacobian, 1, 2)
    return 0.5 * (moved + np.swapaxes(moved, 1, 2))
