"""Checks, one module each, whose findings carry a remedy."""
