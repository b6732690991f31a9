"""The paper's experiments in small, on held-out synthetic clips: one module each, one command for all."""
