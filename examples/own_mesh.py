#!/usr/bin/env python3
"""Animate a mesh of your own and say how far each of its parts moved.

python3 examples/own_mesh.py CLIP MESH [WEIGHTS]
"""

import sys

import numpy as np
import trimesh

import attnchain_ros as ac


def main(clip: str, mesh: str, weights: str | None = None) -> None:
    """The mesh stands as in the clip's first image: y up, its front towards the camera (see docs/conventions.md)."""
    animation = ac.animate(clip, anchor=mesh, backbone=ac.load(weights))
    # Vertex i of the file is row i of every frame, in the file's own frame and units.
    way = np.linalg.norm(animation.vertices - animation.vertices[0], axis=2).max(axis=0)
    shape = trimesh.Trimesh(animation.vertices[0], animation.faces, process=False)
    for number, part in enumerate(trimesh.graph.connected_components(shape.edges, nodes=np.arange(len(way)))):
        print(f"part {number}: {len(part)} vertices, moved up to {way[part].max():.3g}")  # noqa: T201
    animation.write_glb("own_mesh.glb")


if __name__ == "__main__":
    main(*sys.argv[1:])
