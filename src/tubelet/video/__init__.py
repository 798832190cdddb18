"""Video files into clips of pixels."""
