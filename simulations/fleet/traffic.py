"""What rounds took of the network, a line each in a file, so that a rehearsal that goes on still knows."""

from dataclasses import dataclass
from pathlib import Path

from shared import wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Bytes of one round over the network, as Flower serializes them: to all devices, and back."""

    number: int
    down: int
    up: int


class TrafficLog:
    """The traffic of a campaign's rounds by their number; a round that was begun anew counts as its last time."""

    def __init__(self, path: Path) -> None:
        """Read what is there; a line that was cut short by an end is that of a round to be begun anew."""
        self._path = path
        self.rounds: dict[int, Traffic] = {}
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        for line in lines:
            traffic = wire.from_json(Traffic, line)
            self.rounds[traffic.number] = traffic

    def add(self, traffic: Traffic) -> None:
        """Keep one round's."""
        self.rounds[traffic.number] = traffic
        with self._path.open("ab") as log:
            log.write(wire.to_json(traffic) + b"\n")
