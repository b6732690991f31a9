"""Slow literal twins of the fast algorithms: same file and function names, loops and float64, no shared code."""
