"""How a camera moved through a window, and the poses of an object's frame that stands still meanwhile.

Not in the paper. With the background cut away a camera that goes round an object and an object that turns give the
same pictures. Whoever knows how the camera moved (TF, ``camera.motion: known``) or sees it in the background
(``background``) ends that: one pose of the object's frame, seen by the moving camera, makes the poses of all frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..shapes import check_shape
from .poses import invert_poses


@dataclass(frozen=True)
class CameraMotion:
    """The camera's way through the F frames of a window, in some frame that stands still.

    Attributes:
        turns: [F, 3, 3] rotations of ``camera_from_fixed``.
        shifts: [F, 3] its translations, object units; None where only the turns are known.
    """

    turns: np.ndarray
    shifts: np.ndarray | None = None

    def __post_init__(self) -> None:
        axes = check_shape("turns", self.turns, "F 3 3")
        if self.shifts is not None:
            check_shape("shifts", self.shifts, "F 3", **axes)

    @classmethod
    def of(cls, fixed_from_camera: np.ndarray, metres_per_unit: float | None) -> CameraMotion:
        """From the camera's poses [F, 4, 4] in metres.

        Args:
            fixed_from_camera: rigid.
            metres_per_unit: of the object's unit; None = not known, then only the turns are of use.
        """
        inverse = invert_poses(np.asarray(fixed_from_camera, np.float64))
        return cls(inverse[:, :3, :3], None if metres_per_unit is None else inverse[:, :3, 3] / metres_per_unit)

    @property
    def frames(self) -> int:
        """Number of frames F."""
        return len(self.turns)

    def poses_from(self, pose: np.ndarray, frame: int, centres: np.ndarray, middle: np.ndarray) -> np.ndarray:
        """All poses that follow from one frame's.

        Args:
            pose: [4, 4] camera_from_object of ``frame``.
            frame: which one.
            centres: [F, 3] where the object's middle is seen, camera frame; only read where shifts are not known.
            middle: [3] the object's middle, object frame.
        Returns:
            [F, 4, 4] camera_from_object: the object's frame stands still, or, without shifts, does not turn.
        """
        poses = np.tile(np.eye(4), (self.frames, 1, 1))
        fixed_turn = self.turns[frame].T @ pose[:3, :3]
        poses[:, :3, :3] = self.turns @ fixed_turn
        if self.shifts is None:
            poses[:, :3, 3] = centres - poses[:, :3, :3] @ middle
        else:
            fixed_place = self.turns[frame].T @ (pose[:3, 3] - self.shifts[frame])
            poses[:, :3, 3] = self.turns @ fixed_place + self.shifts
        return poses
