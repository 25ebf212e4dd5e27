"""Contracts that devbox writes: drafted from facts and choices, marked as its own, put into a checkout."""
