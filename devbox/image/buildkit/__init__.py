"""BuildKit, through buildx: what is told to it, what it says, and what it can do."""
