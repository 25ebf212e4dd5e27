"""Compiler caches inside the container: how they are set up, and what they answered."""
