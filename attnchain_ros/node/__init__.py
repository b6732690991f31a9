"""The ROS 2 node: the only folder that imports rclpy and messages (and only in the modules that say so).

Reading order: ``lifecycle.py`` (the node), ``frame_buffer.py`` (from camera frames to windows), ``worker.py`` (the
thread that owns the device), ``messages.py`` (from results to messages), ``parameters.py`` (the table of all
parameters). No ROS is imported by ``assembly``, ``camera``, ``cdr``, ``engine``, ``frame_buffer``, ``log_once``,
``masks``, ``parameters``, ``saving``, ``statistics`` and ``worker``.
"""
