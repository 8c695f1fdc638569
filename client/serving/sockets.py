"""Listening sockets: the agent's own, a loopback port, or those that a service manager holds open for it."""

import os
import secrets
import socket
from pathlib import Path

from shared.errors import InputError
from shared.files import write_secret

BACKLOG = 1024
FIRST_PASSED = 3
"""Where a service manager puts the first socket: sd_listen_fds(3)."""

LONGEST_PATH = 100
"""What a socket's address holds on every system, less the draft's own letters."""


def listen_at(path: Path) -> socket.socket:
    """Listen at a socket file, 0600 before anyone can connect; a stale file is replaced, a live one never is.

    Raise `InputError` if another process answers there, or no socket can be made there.
    """
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise InputError(f"{path} is too long for a socket ({LONGEST_PATH} bytes); use a home with a shorter path")
    _require_silence(path)
    draft = path.with_name(f".{secrets.token_hex(3)}")
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(draft))
        draft.chmod(0o600)
        bound.listen(BACKLOG)
        draft.replace(path)
    except OSError as error:
        bound.close()
        draft.unlink(missing_ok=True)
        raise InputError(f"no socket can be made at {path}: {error.strerror}") from None
    return bound


def listen_on(port: int) -> socket.socket:
    """Listen on a port of 127.0.0.1, 0 for a free one; raise `InputError` if that cannot be."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", port))
        bound.listen(BACKLOG)
    except (OSError, OverflowError) as error:
        bound.close()
        raise InputError(f"port {port} on loopback cannot be used: {error}") from None
    return bound


def passed() -> list[socket.socket]:
    """The sockets that a service manager passed to this very process; each call after the first finds none.

    Raise `InputError` for one that others than this machine could reach.
    """
    names = "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"
    process, number, _ = (os.environ.pop(name, "") for name in names)
    if process != str(os.getpid()) or not number.isdecimal():
        return []
    return [_local(socket.socket(fileno=FIRST_PASSED + index)) for index in range(int(number))]


def token(file: Path) -> str:
    """What a caller on loopback must show, made at first and kept, 0600."""
    try:
        write_secret(file, secrets.token_urlsafe(32).encode("ascii"))
    except FileExistsError:
        file.chmod(0o600)
    found = file.read_text(encoding="ascii").strip()
    if len(found) < 32:
        raise InputError(f"{file} holds no token; remove it, and the next start makes one")
    return found


def _local(one: socket.socket) -> socket.socket:
    os.set_inheritable(one.fileno(), False)
    if one.family == socket.AF_UNIX or str(one.getsockname()[0]) in ("127.0.0.1", "::1"):
        return one
    raise InputError(f"the service manager passed {one.getsockname()}; predictions are answered on this machine only")


def _require_silence(path: Path) -> None:
    """Raise `InputError` unless the path is free, or a socket that nobody answers."""
    if not path.exists():
        return
    if not path.is_socket():
        raise InputError(f"{path} is in the way of the agent's socket; move it")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise InputError(f"{path} cannot be taken over: {error.strerror or error}") from None
    raise InputError(f"another process answers at {path}; stop that one first")
