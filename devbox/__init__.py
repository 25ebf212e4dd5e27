"""Dev containers and incremental builds for large C++/CUDA inference trees."""
