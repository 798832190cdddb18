"""What happens when in a long video: probabilities over time, segments out of them, and files that show both."""
