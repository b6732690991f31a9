"""The laboratory: what made the small checkpoint and what measures the method. No robot needs it.

``synthetic`` draws objects in motion with their exact truth, ``training`` makes the checkpoint, ``evaluation`` holds
the metrics, ``experiments`` the paper's experiments in small. It needs the extra ``lab``. The runtime does not import
it; only the demonstration and ``attnchain probe`` draw their clips here.
"""
