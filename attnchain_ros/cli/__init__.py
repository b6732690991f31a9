"""The command ``attnchain VERB ...``: one module per verb with add_arguments, check_arguments and run."""

from .main import main

__all__ = ["main"]
