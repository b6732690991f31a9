"""Frames, axes and orders that the whole package keeps to (docs/conventions.md tells them to people).

Axes, one letter each: F frames of a window, N tokens of a frame, H heads, V vertices, T triangles, K landmarks,
U candidate surface points, P image patches, Q queries.

Frames:
    object frame (canonical frame): right-handed, y up, unitless, inside [-1, 1]^3; the backbone's own space.
    camera frame (optical frame): x right, y down, z forward, REP 103's ``_optical`` frame and OpenCV's.
Transforms are 4 x 4 and named ``to_from_from``: ``camera_from_object @ [X, 1]`` takes object points into the camera.
Pixels: (x, y), x to the right, y down, the centre of the top left pixel at (0, 0) as in OpenCV and CameraInfo.
Patches: row-major from the top left, without the class token.
Quaternions: (x, y, z, w), as in ROS.
Tokens: in the inflated sequence token n of frame f sits at ``f * (N + 1) + 1 + n``; the time token of f at ``f * (N
+ 1)``.
"""

from __future__ import annotations

ANCHOR_FRAME = 0
"""The last frame of a window is the anchor of the next, so the anchor is always a window's first frame."""

NDC_FOCAL = 2.1875
"""Focal length in NDC assumed without camera intrinsics (App. C): 49.13 degrees across the shorter side."""

OBJECT_HALF_EXTENT = 1.005
"""Half side of the cube in which surfaces are looked for (TripoSG's bounds)."""
