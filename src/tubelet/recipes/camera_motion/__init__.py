"""Camera motion: what the camera does in a window of footage (the recipe of `zoo/camera_motion`)."""
