"""What `covey doctor` found, and the form of its verdicts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at: how it stands, in words, and what to do about it (empty where nothing is)."""

    name: str
    state: State
    what: str
    do: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Something that is good until a day, and the command that makes it good for longer."""

    name: str
    kind: str
    begins: datetime | None
    ends: datetime
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """A port that the coordinator wants: who has it (0 for nobody), and whether that is our own coordinator."""

    port: int
    process: int
    ours: bool
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Underway:
    """A run that is under way: what it waits for, and since when it shows nothing new; its process (0 for unknown)."""

    run: int
    task: str
    deadline: float
    silent: float
    process: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """All that was found, before anything is made of it. Times are Unix time; what could not be read is None or empty.

    `read` says whether the store's rows were, `unreadable` and `unsound` why not; `closed` folders and `lost` certificates
    could not be looked at.
    """

    now: float
    newest_record: float | None
    signed_at: float | None
    endings: tuple[Ending, ...] = ()
    unsigned: str = ""
    free_bytes: int
    log_bytes: int
    ports: tuple[Listening, ...] = ()
    coordinator: int | None
    lock_names: int
    python: str
    wanted_python: str
    packages: Mapping[str, tuple[str, str]]
    schema: int
    newest_schema: int
    copies: tuple[str, ...] = ()
    read: bool = True
    unreadable: str = ""
    unsound: str = ""
    damaged: tuple[str, ...] = ()
    underway: tuple[Underway, ...] = ()
    exposed: tuple[str, ...] = ()
    missing_keys: tuple[str, ...] = ()
    closed: tuple[str, ...] = ()
    lost: Mapping[str, str] = field(default_factory=dict[str, str])
    leftovers: tuple[str, ...] = ()
    restored_unlifted: bool = False
    ahead: Mapping[str, int] = field(default_factory=dict[str, int])
    newest_release: int = 0
    backed_up_at: float | None = None
