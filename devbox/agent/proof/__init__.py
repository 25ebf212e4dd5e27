"""What proves that an object need not be made again: records of sources, and times set by them."""
