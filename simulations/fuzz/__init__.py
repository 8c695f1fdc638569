"""Inputs that nobody would write, for everything that a device or the coordinator parses: `make fuzz`."""
