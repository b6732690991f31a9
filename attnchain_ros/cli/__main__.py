"""``python -m attnchain_ros.cli``, the same as the command ``attnchain``."""

import sys

from .main import main

sys.exit(main())
