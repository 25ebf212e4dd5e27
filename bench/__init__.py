"""The benchmark suite: devbox measured beside docker, ninja and the reference CLI, and held against its budgets."""
