"""Dockerfiles, read as BuildKit reads them: instructions, words, stages, and what `.dockerignore` leaves out."""
