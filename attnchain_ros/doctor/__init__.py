"""One page about this machine: what is there, whether it works, and what to do about the rest.

``machine`` looks at Python, torch, memory and libraries, ``ros`` at ROS 2 and its topics (in a process of its own, so
that nothing here imports ROS), ``weights`` at a checkpoint, ``trial`` computes one small window. All hand out
``Finding``s.
"""

from .examining import Options, examine
from .findings import Finding, State, page_lines, report_json

__all__ = ["Finding", "Options", "State", "examine", "page_lines", "report_json"]
