"""What devbox holds on the disk of the engine and in the home: added up, and pruned over all kinds."""
