"""How well a coordinator is: each thing that was looked at, how it stands, and what to do. Decided without I/O."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta

from server.examined import Examined, Finding, State

GIGABYTE, MEGABYTE = 10**9, 10**6
LOW_DISK, NO_DISK = 2 * GIGABYTE, 200 * MEGABYTE
LARGE_LOG = 256 * MEGABYTE
"""SQLite starts its log anew long before; one this large means that a reader never let go of the store."""

CLOCK_SLACK = 120.0
"""Seconds by which clocks of one machine's records may differ."""

STUCK_GRACE = 120.0
"""Seconds over a round's deadline and its waiting for devices."""

AGEING = {"authority": 90, "server": 20, "root": 60, "targets": 30, "rollout": 2, "snapshot": 2, "timestamp": 0.25}
"""Days before its end from which each is warned of; those that `covey serve` signs anew never come so close while it runs."""

OLD_BACKUP_DAYS = 7


def examine(found: Examined) -> tuple[Finding, ...]:
    """A verdict on each thing, in the order in which they are best mended."""
    return (
        *_clock(found), *_endings(found), *_disk(found), *_ports(found), *_coordinator(found), *_versions(found),
        *_store(found), *_keys(found), *_leftovers(found),
    )  # fmt: skip


def worst(findings: Iterable[Finding]) -> State:
    """The worst state among them."""
    states = {finding.state for finding in findings}
    return "fail" if "fail" in states else "warn" if "warn" in states else "ok"


def _clock(found: Examined) -> Iterator[Finding]:
    """A clock that lies behind what it wrote itself makes devices refuse every signature."""
    newest = max((each for each in (found.newest_record, found.signed_at) if each is not None), default=found.now)
    behind = newest - found.now
    day = datetime.fromtimestamp(found.now, UTC)
    early = [each for each in found.endings if each.begins is not None and each.begins > day]
    if behind > CLOCK_SLACK or early:
        what = f"this machine's clock, {day:%Y-%m-%d %H:%M:%S}Z, lies {_span(behind)} behind its own newest record"
        if early:
            what = f"this machine's clock, {day:%Y-%m-%d %H:%M:%S}Z, lies before {early[0].name} became valid"
        yield Finding(name="clock", state="fail", what=what, do="set the clock right (timedatectl set-ntp true)")
    else:
        yield Finding(name="clock", state="ok", what=f"{day:%Y-%m-%d %H:%M:%S}Z, after everything that is on record")


def _endings(found: Examined) -> Iterator[Finding]:
    day = datetime.fromtimestamp(found.now, UTC)
    for each in found.endings:
        left, until = each.ends - day, f"{each.ends:%Y-%m-%d %H:%M}Z"
        if left <= timedelta():
            yield Finding(name=each.name, state="fail", what=f"it ended on {until}", do=each.do)
        elif left <= timedelta(days=AGEING[each.kind]):
            yield Finding(name=each.name, state="warn", what=f"it ends in {_days(left)}, on {until}", do=each.do)
        else:
            yield Finding(name=each.name, state="ok", what=f"good for {_days(left)}, until {until}")
    for name, why in found.lost.items():
        yield Finding(
            name=name, state="fail", what=why, do="restore a backup into another directory, or ask the operator"
        )
    if found.unsigned:
        yield Finding(name="signatures", state="fail", what=found.unsigned, do="restore the repository from a backup")


def _disk(found: Examined) -> Iterator[Finding]:
    free = f"{found.free_bytes / GIGABYTE:.1f} GB are free"
    room = "make room: `covey models gc` drops weights that nothing refers to"
    if found.free_bytes < NO_DISK:
        yield Finding(name="disk", state="fail", what=free, do=room)
    elif found.free_bytes < LOW_DISK:
        yield Finding(name="disk", state="warn", what=free, do=room)
    else:
        yield Finding(name="disk", state="ok", what=free)
    log = f"the store's log has {found.log_bytes / MEGABYTE:.1f} MB"
    if found.log_bytes > LARGE_LOG:
        do = "close old `covey` windows and readers of covey.db; the log shrinks with the next write"
        yield Finding(name="store's log", state="warn", what=log, do=do)
    else:
        yield Finding(name="store's log", state="ok", what=log)


def _ports(found: Examined) -> Iterator[Finding]:
    for each in found.ports:
        name = f"port {each.port}"
        if each.process and not each.ours:
            who = f"process {each.process} ({each.name})" if each.name else f"process {each.process}"
            do = "stop it, or change the port in federation.toml and restart"
            yield Finding(name=name, state="fail", what=f"{who} holds it, and is not this coordinator", do=do)
        elif each.ours:
            yield Finding(name=name, state="ok", what="held by this federation's coordinator")
        elif found.coordinator is not None:
            do = "see logs/coordinator.log; restart it"
            yield Finding(name=name, state="fail", what="nobody listens, though the coordinator runs", do=do)
        else:
            yield Finding(name=name, state="ok", what="free")


def _coordinator(found: Examined) -> Iterator[Finding]:
    if found.coordinator is not None:
        yield Finding(name="coordinator", state="ok", what=f"runs as process {found.coordinator}")
        return
    left = f"; its lock still names process {found.lock_names}, which let go of it" if found.lock_names else ""
    yield Finding(name="coordinator", state="warn", what=f"does not run{left}", do="`covey serve`, or its systemd unit")


def _versions(found: Examined) -> Iterator[Finding]:
    if _numbers(found.python) < _numbers(found.wanted_python):
        do = f"install Python {found.wanted_python} or newer"
        yield Finding(name="Python", state="fail", what=f"{found.python}, and Covey needs {found.wanted_python}", do=do)
    else:
        yield Finding(name="Python", state="ok", what=found.python)
    wrong = {name: pair for name, pair in found.packages.items() if pair[0] != pair[1]}
    for name, (has, wants) in wrong.items():
        missing = f"is missing; Covey was tested with {wants}"
        what = missing if not has else f"{has} is installed; Covey was tested with {wants}"
        yield Finding(name=name, state="warn" if has else "fail", what=what, do=f"pip install {name}=={wants}")
    if not wrong:
        yield Finding(
            name="packages", state="ok", what=f"{len(found.packages)} pinned ones are as Covey was tested with"
        )


def _store(found: Examined) -> Iterator[Finding]:
    """The store itself; what lies in one that was not read is told as not looked at, never as sound."""
    restore = "stop the coordinator, and `covey restore` a backup into another directory"
    if found.unreadable:
        yield Finding(name="store", state="fail", what=found.unreadable, do=restore)
    else:
        yield _schema(found)
    if found.unsound:
        yield Finding(name="store's pages", state="fail", what=found.unsound, do=restore)
    if not found.read:
        unread = ("weights", "runs", "backup") if found.unsound else ("store's pages", "weights", "runs", "backup")
        for name in unread:
            yield Finding(name=name, state="warn", what="not looked at", do="mend the store, then ask again")
    else:
        yield from _contents(found)


def _schema(found: Examined) -> Finding:
    if found.schema > found.newest_schema:
        what, do = f"schema {found.schema} is of a newer Covey, which knows {found.newest_schema}", "upgrade Covey"
        back = f", or put {found.copies[-1]} back in its place" if found.copies else ""
        return Finding(name="store", state="fail", what=what, do=f"{do}{back}")
    if found.schema < found.newest_schema:
        do = "stop the coordinator, `covey backup`, then start it: the store is copied aside and brought up to date"
        what = f"schema {found.schema}, and this Covey works with {found.newest_schema}"
        return Finding(name="store", state="warn", what=what, do=do)
    kept = f"; kept from before upgrades: {', '.join(found.copies)}" if found.copies else ""
    return Finding(name="store", state="ok", what=f"schema {found.schema}{kept}")


def _contents(found: Examined) -> Iterator[Finding]:
    if not found.unsound:
        yield Finding(name="store's pages", state="ok", what="sound (quick_check)")
    if found.damaged:
        what = f"{_count(len(found.damaged), 'blob')} not what its address says, first {found.damaged[0][:12]}"
        do = "`covey models verify` names the versions; restore a backup"
        yield Finding(name="weights", state="fail", what=what, do=do)
    else:
        yield Finding(name="weights", state="ok", what="every blob is what its address says")
    yield from (*_runs(found), *_releases(found), *_backups(found))


def _runs(found: Examined) -> Iterator[Finding]:
    stuck = [each for each in found.underway if each.silent > each.deadline + STUCK_GRACE]
    for each in stuck:
        what = f"of {each.task} shows nothing new for {_span(each.silent)}, with a deadline of {_span(each.deadline)}"
        ends = f"; if it stays, `kill {each.process}` ends its process" if each.process else ""
        do = f"`covey stop {each.run}` keeps every committed round; logs/run-{each.run}.log says where it stands{ends}"
        yield Finding(name=f"run {each.run}", state="fail", what=what, do=do)
    if not stuck:
        yield Finding(name="runs", state="ok", what=f"{_count(len(found.underway), 'run')} under way, none stuck")


def _keys(found: Examined) -> Iterator[Finding]:
    for name in found.exposed:
        yield Finding(name=name, state="fail", what="others may read it", do=f"chmod 600 {name}; then rotate that key")
    for name in found.missing_keys:
        what = "is not here, so what it signs ends with its last signature"
        yield Finding(name=name, state="fail", what=what, do="put it back from where keys are kept, or rotate it")
    if found.closed:
        what, do = (
            f"not looked at: {', '.join(found.closed)} may not be read by you",
            "ask the operator, whose they are",
        )
        yield Finding(name="keys", state="warn", what=what, do=do)
    elif not found.exposed and not found.missing_keys:
        yield Finding(name="keys", state="ok", what="there, and readable by their owner alone")


def _releases(found: Examined) -> Iterator[Finding]:
    """A device that runs what this federation never signed saw another past: an older backup was restored."""
    if found.restored_unlifted:
        what = "a backup was restored, and nothing was signed above what devices have seen: they refuse it"
        do = "put targets.key back, and root keys if a root was signed since; then `covey renew --lift`"
        yield Finding(name="restoration", state="warn", what=what, do=do)
    if not found.ahead:
        return
    names = sorted(found.ahead)
    what = f"{_count(len(names), 'device')} say they run a release above {found.newest_release}, first {names[0]} ({found.ahead[names[0]]})"
    do = "`covey renew --lift`, if an older backup was restored; else ask whose devices these are"
    yield Finding(name="releases", state="warn", what=what, do=do)


def _backups(found: Examined) -> Iterator[Finding]:
    if found.backed_up_at is None:
        yield Finding(
            name="backup", state="warn", what="none is on record", do="`covey backup FILE.tar.zst`, on another disk"
        )
        return
    age = found.now - found.backed_up_at
    old = age > OLD_BACKUP_DAYS * 86400
    yield Finding(
        name="backup", state="warn" if old else "ok", what=f"the last one is {_span(age)} old",
        do="`covey backup FILE.tar.zst`, on another disk" if old else "",
    )  # fmt: skip


def _leftovers(found: Examined) -> Iterator[Finding]:
    if found.leftovers:
        what = f"of a backup that was killed: {', '.join(found.leftovers)}"
        do = "the next `covey backup` there removes them"
        yield Finding(name="leftovers", state="warn", what=what, do=do)


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _days(left: timedelta) -> str:
    days = left / timedelta(days=1)
    return f"{days:.0f} days" if days >= 2 else f"{left / timedelta(hours=1):.0f} hours"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def most_urgent(findings: Sequence[Finding]) -> list[Finding]:
    """What is wrong first, then what is not, each in its order."""
    rank: dict[State, int] = {"fail": 0, "warn": 1, "ok": 2}
    return sorted(findings, key=lambda finding: rank[finding.state])
