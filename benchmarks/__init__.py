"""Measurements that take too long for the tests; their tables are committed beside the programs."""
