"""``python -m attnchain_ros.lab.demo``."""

import sys

from .main import main

sys.exit(main())
