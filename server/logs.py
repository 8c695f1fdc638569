"""Where a process of the coordinator writes what it does: a file that turns over, and stderr if asked."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)-7s %(process)d %(name)s: %(message)s"
_NOISY = ("httpx", "httpcore", "alembic", "sqlalchemy", "asyncio")


def write_logs(path: Path, *, verbose: bool = False) -> None:
    """Send everything to `path`, five files of 2 MB at most; `verbose` adds details, and stderr."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = RotatingFileHandler(path, maxBytes=2_000_000, backupCount=4, encoding="utf-8")
    handlers: list[logging.Handler] = [file, logging.StreamHandler()] if verbose else [file]
    level = logging.DEBUG if verbose else logging.INFO
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers, force=True)
    logging.captureWarnings(capture=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
