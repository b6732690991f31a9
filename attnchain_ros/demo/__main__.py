"""``python -m attnchain_ros.demo``."""

import sys

from .main import main

sys.exit(main())
