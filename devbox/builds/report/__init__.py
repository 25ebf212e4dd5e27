"""What a build did: its summary, its timeline, and the page and the trace made of them."""
