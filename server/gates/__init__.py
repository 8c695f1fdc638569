"""What a version must show before it is signed: each gate in a file of its own kind, each verdict with expected and found."""

from server.gates.files import check

__all__ = ["check"]
