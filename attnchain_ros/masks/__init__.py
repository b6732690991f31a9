"""The object's mask in every image of a stream, from a click: SAM 2's video model.

What is here is light; ``tracker`` needs torch, and transformers to load a model.
"""

from .places import masks_weights
from .prompt import Prompt, read_prompt, read_prompts
from .sight import Sight, TrackedMask

__all__ = ["Prompt", "Sight", "TrackedMask", "masks_weights", "read_prompt", "read_prompts"]
