"""What a running agent throws away: predictions whose time is over."""

import logging
import time
from contextlib import closing

from client.config import AgentHome, TaskHome
from client.predictions import PredictionLog, Retention
from client.settings import Keep
from client.vault import Vault
from shared.errors import CoveyError

log = logging.getLogger(__name__)


def open_log(place: TaskHome) -> PredictionLog:
    """The log of a task's predictions, kept as the owner's policy says."""
    return PredictionLog(place.predictions, Vault.open(place.home), retention(place.home.settings().keep))


def retention(keep: Keep) -> Retention:
    """The owner's words about what is kept."""
    return Retention(days=keep.days, share=keep.share, megabytes=keep.megabytes)


def expire(home: AgentHome) -> None:
    """Let go of what the owner's policy no longer keeps; a task that cannot be looked at is named in the log."""
    for place in home.tasks():
        if not place.predictions.exists():
            continue
        try:
            with closing(open_log(place)) as kept:
                gone = kept.expire(time.time())
        except CoveyError as error:
            log.warning("predictions of task %s were not expired: %s", place.name, error)
        else:
            log.debug("%d predictions of task %s expired", gone, place.name)
