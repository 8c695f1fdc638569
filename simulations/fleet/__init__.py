"""Virtual devices by the thousand: their rows, their ledgers, how they behave, and one engine that trains them in blocks.

The coordinator's side is what ships: `server.app` conducts a run over Flower's `Grid`, which `grid.FleetGrid` is.
"""
