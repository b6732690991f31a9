"""Training of the small demonstration checkpoint on a few CPU cores (``attnchain train --help``)."""
