"""The agent's log: one JSON object a line in `agent.log`, and on stderr when asked."""

import json
import logging
import sys
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

MAX_BYTES = 1_000_000
_NOISY = ("httpx", "httpcore", "flwr", "tuf", "asyncio")


class JsonLines(logging.Formatter):
    """A record as JSON: `at` (UTC), `level`, `part`, `text`, and `trace` where something broke."""

    def format(self, record: logging.LogRecord) -> str:
        """One line, whatever the text holds."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "part": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def start_logging(file: Path, *, verbose: bool) -> None:
    """Write this process's log to `file`, two megabytes at most, and to stderr too if `verbose`."""
    handlers: list[logging.Handler] = [RotatingFileHandler(file, maxBytes=MAX_BYTES, backupCount=1, delay=True)]
    if verbose:
        handlers.append(logging.StreamHandler(sys.stderr))
    for handler in handlers:
        handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=handlers, force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    file.touch(mode=0o600)
