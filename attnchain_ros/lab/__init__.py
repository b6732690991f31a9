"""The laboratory: what made the small checkpoint and what measures the method. No robot needs it.

``synthetic`` draws objects in motion with their exact truth, ``training`` makes the checkpoint, ``evaluation`` holds
the metrics, ``experiments`` the paper's experiments in small. It needs the extra ``lab``. The runtime does not import
it; only the demonstration and ``attnchain probe`` draw their clips here.
"""

from __future__ import annotations

import importlib.util

from ..errors import ConfigError

EXTRA = ("matplotlib", "pandas")
"""What requirements/lab.txt installs besides the runtime's packages."""


def check_extra() -> None:
    """Whether what tables and charts are made with is installed, before hours are spent on their numbers.

    Raises:
        ConfigError: names what is missing and the command that installs it.
    """
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"this needs {' and '.join(missing)}, which come with the extra 'lab': pip install 'attnchain_ros[lab]', "
            "or pip install -r requirements/lab.txt in a checkout"
        )
