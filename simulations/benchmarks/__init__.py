"""Benchmarks: each measures on the machine at hand and prints its table."""
