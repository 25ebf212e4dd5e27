"""The package beside which the kernels are installed."""
