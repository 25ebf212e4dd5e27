"""Registries and the names of images: what they hold, and what docker writes to them."""
