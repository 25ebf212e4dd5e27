"""Which contract is in force, and what devbox would write: settings, choices, and the person's own additions."""
