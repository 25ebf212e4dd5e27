"""What runs in a dev container: which container, as whom, in what environment, and how it ends."""
