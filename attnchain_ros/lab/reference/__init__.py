"""Slow literal twins of the laboratory's fast algorithms, under the rules of ``attnchain_ros.reference``."""
