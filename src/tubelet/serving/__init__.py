"""Answers over HTTP: `tubelet serve`. Only this package knows of FastAPI."""
