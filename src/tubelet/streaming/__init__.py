"""What a model says of a video while it arrives: an answer every hop, each tubelet encoded once."""
