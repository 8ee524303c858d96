"""A study, from the snapshots of its runs to its result: pure, no input or output of its own."""
