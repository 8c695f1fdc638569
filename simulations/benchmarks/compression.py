"""What each compression costs and keeps, for `make bench`: see `simulations/compression.py`."""

from simulations.compression import measure

__all__ = ["measure"]
