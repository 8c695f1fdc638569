"""The device's name for the cipher stream that `shared.noise` holds: a coordinator that adds noise draws from it too."""

from shared.noise import CipherStream, system_stream

__all__ = ["CipherStream", "system_stream"]
