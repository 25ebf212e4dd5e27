"""The checkout's Python package: its environment on the build volume, wheels, and prebuilt parts."""
