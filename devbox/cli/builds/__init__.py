"""`devbox build` and `devbox builds`."""
