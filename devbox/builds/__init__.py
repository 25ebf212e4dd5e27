"""Incremental builds inside the container."""
