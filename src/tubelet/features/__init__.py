"""What a model makes of many videos, kept in a file; what can be read off it, and which videos are alike."""
