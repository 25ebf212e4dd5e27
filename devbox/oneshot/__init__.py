"""Containers that do one thing and are gone: `run`, `image run`, and tasks."""
