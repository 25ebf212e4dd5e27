"""What ninja says and keeps: its status lines, its logs, and its graph."""
