"""Whole federations on one machine: rehearsal, research and benchmarks."""
