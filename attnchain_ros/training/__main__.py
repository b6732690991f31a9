"""``python -m attnchain_ros.training``: the same as ``attnchain train``."""

from __future__ import annotations

import argparse
import sys

from ..cli.train import SUMMARY, add_arguments, check_arguments, run
from ..errors import AttnChainError


def main() -> int:
    """Run one stage."""
    parser = argparse.ArgumentParser(prog="attnchain train", description=SUMMARY)
    add_arguments(parser)
    args = parser.parse_args()
    try:
        check_arguments(args)
        return run(args)
    except AttnChainError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
