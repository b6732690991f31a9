"""The frozen networks, their weights, and the attention read from them."""

from .backbone import Backbone, choose_device, choose_dtype, default_weights, load_backbone
from .readout import TokenMaps
from .reinforcement import TokenPairs
from .stage_one import StageOne
from .vae import DecodedLatents

__all__ = [
    "Backbone",
    "DecodedLatents",
    "StageOne",
    "TokenMaps",
    "TokenPairs",
    "choose_device",
    "choose_dtype",
    "default_weights",
    "load_backbone",
]
