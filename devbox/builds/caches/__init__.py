"""Compiler caches, the host's part: which one is used, its shared storage, and what is wrong with it."""
