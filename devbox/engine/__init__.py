"""The only door to Docker."""
