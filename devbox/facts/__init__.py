"""What is true now: host, GPU, engine, checkout."""
