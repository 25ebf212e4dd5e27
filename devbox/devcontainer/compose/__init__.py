"""Compose files in a contract: their sources, the project as a value, and the override."""
