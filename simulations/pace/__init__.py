"""Rounds against a buffer: synchronous and asynchronous federations on one virtual clock, `covey-sim pace`."""
