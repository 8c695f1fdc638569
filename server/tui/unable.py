"""Why something cannot be begun now, in the words of what is missing, and what to do about it."""

from server.tui.watcher import Snapshot

NO_TASK = "there is no task yet; publish one with `covey task FILE`"
NO_UNDO = "nothing was done in the last 10 s that can be undone"
ASKED = "a dialog is open; answer it first"


def why_not(name: str, snapshot: Snapshot) -> str:
    """Why a word that begins something would do nothing now."""
    if name == "start":
        return why_no_campaign(snapshot)
    if name == "survey":
        return why_no_survey(snapshot)
    return NO_UNDO if name == "undo" else ASKED


def why_no_campaign(snapshot: Snapshot) -> str:
    """Rounds are started for a task that no run is working on."""
    return "every task has a run under way; wait for its end, or end it with :stop" if snapshot.tasks else NO_TASK


def why_no_survey(snapshot: Snapshot) -> str:
    """Devices are surveyed with the model that they run."""
    if not snapshot.tasks:
        return NO_TASK
    return "there is no release to survey yet; promote a version first, with :promote VERSION"
