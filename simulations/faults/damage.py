"""What a failing disk, or somebody with an editor, does to a file."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path


def cut(file: Path) -> None:
    """Half of it is gone."""
    os.truncate(file, file.stat().st_size // 2)


def flip(file: Path) -> None:
    """One bit in the middle is another."""
    body = bytearray(file.read_bytes())
    if body:
        body[len(body) // 2] ^= 0x01
    file.write_bytes(body)


def drain(file: Path) -> None:
    """It is empty."""
    os.truncate(file, 0)


def block(file: Path) -> None:
    """A directory has its name."""
    file.unlink()
    file.mkdir()


def remove(path: Path) -> None:
    """It is gone."""
    shutil.rmtree(path) if path.is_dir() else path.unlink()


def drain_all(path: Path) -> None:
    """It is empty, or everything in it is."""
    for file in path.iterdir() if path.is_dir() else (path,):
        drain(file)


def each(home: Path, name: str, harm: Callable[[Path], None]) -> None:
    """Harm whatever has a name somewhere in a directory; `served.onnx` stands for the tuned file, whatever its hash."""
    pattern = "served-*.onnx" if name == "served.onnx" else name
    newest = sorted(home.rglob(pattern), key=lambda path: path.stat().st_mtime_ns)
    for path in newest[-1:]:
        harm(path)


def stale_socket(path: Path) -> None:
    """A socket file that nobody listens at."""
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(str(path))


WAYS: dict[str, Callable[[Path], None]] = {
    "cut": cut, "flipped": flip, "empty": drain, "a directory": block, "gone": remove,
}  # fmt: skip
