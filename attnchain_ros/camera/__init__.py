"""Cameras: crop, intrinsics, pose estimation, ray casting and 3D tracks (Sec. 4.4). Pure numpy and OpenCV."""
