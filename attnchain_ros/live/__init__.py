"""Between windows: the last window's points carried to the newest image, and the pose they make. ROS-free."""
