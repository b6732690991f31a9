"""Readers of published benchmarks' folders: arrays with their masks and truth, and clear errors where files are not."""
