"""What Flower must find in its process: no telemetry, no update check, no file elsewhere, and our log alone."""

import logging
import os

from server.config import Federation


def prepare(federation: Federation) -> None:
    """Set Flower's environment; Flower reads it on import."""
    os.environ["FLWR_TELEMETRY_ENABLED"] = "0"
    os.environ["FLWR_DISABLE_UPDATE_CHECK"] = "1"
    os.environ["FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION"] = "1"
    os.environ["FLWR_HOME"] = str(federation.home / "flower")


def quiet_flower() -> None:
    """Take Flower's own handler away once it is imported: what it says goes to our log, never to a terminal."""
    logger = logging.getLogger("flwr")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
