"""The engine's arithmetic: the light trainer's layers, each for many devices with weights of their own at once."""

from simulations.fleet.kernels.layout import Layout
from simulations.fleet.kernels.network import Network, Pass, row_bytes

__all__ = ["Layout", "Network", "Pass", "row_bytes"]
