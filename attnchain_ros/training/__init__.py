"""Training of the small demonstration checkpoint on a few CPU cores (``python -m attnchain_ros.training --help``)."""
