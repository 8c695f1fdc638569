"""What the watcher tells the terminal."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.watcher import Snapshot


@dataclass
class Changed(Message):
    """The store moved; this is what it says now."""

    snapshot: "Snapshot"


@dataclass
class Unreadable(Message):
    """The store could not be read; what is on screen grows old."""

    reason: str
