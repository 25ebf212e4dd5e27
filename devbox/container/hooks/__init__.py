"""Lifecycle commands: run, listed, run again, with their secrets."""
