"""Attacks on a federation: by its members, and on what leaves a device."""
