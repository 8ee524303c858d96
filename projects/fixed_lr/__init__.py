"""Training at a fixed learning rate, with weight snapshots: the entry points `main` and `sweep`."""
