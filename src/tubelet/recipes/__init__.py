"""Complete trainings as functions."""
