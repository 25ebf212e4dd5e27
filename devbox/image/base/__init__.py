"""What images start from: a registry's image, pinned by the lock file, or the package base."""
