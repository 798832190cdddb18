"""Every published weights format, read safely."""
