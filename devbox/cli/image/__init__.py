"""`devbox image`."""
