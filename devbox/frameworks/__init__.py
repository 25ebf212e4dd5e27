"""What each framework is, as data, and the loader that validates it."""
