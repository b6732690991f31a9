"""One stream of camera frames for every driver (folders, videos, bags, the node): from pictures to windows, ROS-free.

``frame`` and ``source`` say what comes in; ``decode`` and ``camera`` read messages; ``masks`` and ``stamps`` find what
belongs together; ``buffer`` cuts frames into batches of one window each; ``assembly`` makes windows out of them;
``stream`` joins these, and ``windows`` drives them from a clip.
"""
