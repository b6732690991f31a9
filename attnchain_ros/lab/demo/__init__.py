"""The demonstration: ``python -m attnchain_ros.lab.demo``, three processes that talk over ROS topics.

A camera publishes a synthetic clip that was never trained on, the node animates it, and this process records what the
node publishes and measures it against the truth.
"""
