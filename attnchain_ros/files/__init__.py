"""All disk access but weights: images, videos, bags, meshes, animations and results."""
