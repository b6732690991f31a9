"""The ROS 2 node: the only folder that imports rclpy and messages (and only in the modules that say so).

Reading order: ``lifecycle.py`` (the node), ``session.py`` (what lives from configure to cleanup), ``inputs.py`` (from
topics into the stream), ``worker.py`` (the thread that owns the device), ``outputs.py`` (from results to topics),
``parameters.py`` (the table of all parameters). No ROS is imported by ``anchoring``, ``cdr``, ``engine``,
``log_once``, ``parameters``, ``profiles``, ``replaying``, ``saving``, ``statistics`` and ``worker``.
"""
