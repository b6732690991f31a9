"""Every error this package raises on purpose.

    AttnChainError
    ├── InputError (ValueError)        something given by the user or a camera cannot be used
    │   ├── ShapeError                 an array has the wrong shape, size or dtype
    │   ├── MaskError                  a mask is empty, of the wrong size or of the wrong kind
    │   ├── MeshError                  a mesh cannot be used (empty, open where it must be closed, not finite)
    │   ├── FileFormatError            a file or folder is not what its name or place promises
    │   └── ConfigError                an option is outside its range
    ├── WeightsError                   a checkpoint folder is missing, incomplete, of other sizes or has unknown keys
    ├── FetchError                     published files could not be fetched
    ├── SurfaceError                   a field has no surface to extract
    └── Cancelled                      the caller asked a long computation to stop

Messages say what was wrong, what was got, what is wanted and what to do about it.
"""

from __future__ import annotations


class AttnChainError(Exception):
    """Base of every error raised on purpose by attnchain_ros."""


class InputError(AttnChainError, ValueError):
    """Something given by the user or a camera cannot be used."""


class ShapeError(InputError):
    """An array has the wrong shape, size or dtype."""


class MaskError(InputError):
    """A mask is empty, of the wrong size or of the wrong kind."""


class MeshError(InputError):
    """A mesh cannot be used: empty, not finite, or open where it must be closed."""


class FileFormatError(InputError):
    """A file or folder is not what its name or place promises."""


class ConfigError(InputError):
    """An option is outside its range."""


class WeightsError(AttnChainError):
    """A checkpoint folder is missing, incomplete, of other sizes, or has unknown keys."""


class FetchError(AttnChainError):
    """Published files could not be fetched: no network, no permission, no room, or other bytes than promised."""


class SurfaceError(AttnChainError):
    """A decoded field has no surface to extract."""


class Cancelled(AttnChainError):
    """The caller's cancellation callback asked a long computation to stop."""
