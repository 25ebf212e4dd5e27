"""Dev Container Features, as values: what is referred to, what each asks for, and in which order they are installed."""
