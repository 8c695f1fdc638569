"""Months replayed as time: when a fleet's surveys see that its data moved, and when it pays to learn again.

What a device answers and how answers are read is what ships (`client.drift`, `server.drift`); so is what is paid.
"""
