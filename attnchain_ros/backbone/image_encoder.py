"""Cropped window images to image tokens: the published processor before DINOv2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import WeightsError
from ..shapes import check_shape
from .dinov2 import DinoV2
from .weights import CPU_FLOAT32, Target, load_dino, read_json

PROCESSOR_FILE = "preprocessor_config.json"
_MOST_EDGE = 1 << 14
"""Pixels; far above every published network's."""


class ImageEncoder:
    """A frozen DINOv2 with its processor's resize size, centre crop and normalisation.

    Attributes:
        input_size: side S in pixels of the square images it takes (the processor's ``shortest_edge``).
        crop_size: side of the centre crop that the network sees; ``input_size - crop_size`` pixels are cut off in all.
        grid: patches along one side; P = grid^2.
        width: C of the tokens.
    """

    def __init__(self, model: DinoV2, processor: dict[str, Any], where: Path) -> None:
        self.model = model
        self.input_size = edge(processor, "size", where)
        self.crop_size = (
            edge(processor, "crop_size", where) if processor.get("do_center_crop", True) else self.input_size
        )
        patch = model.sizes.patch
        if self.crop_size % patch or self.crop_size > self.input_size:
            raise WeightsError(
                f"{where}: a crop of {self.crop_size} px out of {self.input_size} px is not a whole number of "
                f"{patch} px patches"
            )
        self.grid = self.crop_size // patch
        self.width = model.sizes.width
        self._mean, self._std = (torch.tensor(processor[name]).view(1, 3, 1, 1) for name in ("image_mean", "image_std"))

    @torch.no_grad()
    def encode(self, images: np.ndarray) -> Tensor:
        """Image tokens of square images.

        Args:
            images: [F, S, S, 3] uint8 RGB on white, S = ``input_size``.
        Returns:
            [F, P + 1, C] in the network's dtype; the class token first, then patches row by row.
        Raises:
            ShapeError: another size.
        """
        size = str(self.input_size)
        check_shape("images", images, f"F {size} {size} 3", "prepare them with camera.crop.prepare_images")
        # The network may have been away from its device since it was loaded.
        device = self.model.class_token.device
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device).permute(0, 3, 1, 2).float() / 255.0
        cut = (self.input_size - self.crop_size) // 2
        pixels = pixels[..., cut : cut + self.crop_size, cut : cut + self.crop_size]
        return self.encode_pixels((pixels - self._mean.to(device)) / self._std.to(device))

    @torch.no_grad()
    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Image tokens of normalised pixels [F, 3, crop_size, crop_size] float32: [F, P + 1, C]."""
        tokens: Tensor = self.model(pixels)
        return tokens


def edge(processor: dict[str, Any], name: str, where: Path) -> int:
    """A square size in a processor config, given as a number, height and width, or the shortest edge."""
    value = processor.get(name)
    sizes: list[Any] = list(value.values()) if isinstance(value, dict) else [value]
    if not sizes or any(type(size) is not int or size != sizes[0] for size in sizes):
        raise WeightsError(f"{where}: {name} is {value!r}, wanted one square size")
    size = int(sizes[0])
    if not 1 <= size <= _MOST_EDGE:
        raise WeightsError(f"{where}: {name} is {size}, wanted 1 to {_MOST_EDGE} pixels")
    return size


def load_image_encoder(folder: Path, processor_folder: Path, target: Target = CPU_FLOAT32) -> ImageEncoder:
    """An image encoder's folder and its processor's config.

    Raises:
        WeightsError: a file is missing or damaged, or keys do not fit; they are named.
    """
    path = processor_folder / PROCESSOR_FILE
    processor = read_processor(path)
    return ImageEncoder(load_dino(folder, target), processor, path)


def read_processor(path: Path) -> dict[str, Any]:
    """The config of an image processor.

    Raises:
        WeightsError: it is missing or damaged, or has no mean and deviation.
    """
    processor = read_json(path)
    for name in ("image_mean", "image_std"):
        if name not in processor:
            raise WeightsError(f"{path} has no entry {name!r}")
        values = processor[name]
        numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
        if not numbers or len(values) != 3 or not all(abs(value) < float("inf") for value in values):
            raise WeightsError(f"{path}: {name} is {values!r}, wanted three numbers")
    if 0 in processor["image_std"]:
        raise WeightsError(f"{path}: image_std is {processor['image_std']!r}, wanted numbers above 0")
    return processor
