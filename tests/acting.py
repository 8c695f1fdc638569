"""Which commands of `covey` change something, and a federation's life in which each of them is typed."""

from collections.abc import Iterator

import click
from coordinator import free_port

READING = frozenset(
    {
        *(
            "fit-labels",
            "fleet",
            "audit",
            "plan",
            "rounds",
            "scorecard",
            "rollout",
            "drift",
            "fairness",
            "privacy",
            "retrain",
        ),
        *("models", "models show", "models diff", "models log", "models card", "models verify", "doctor", "unit"),
    }
)
ACTING_BY_THEIR_WORDS = frozenset(
    {"rollout pause", "rollout resume", "rollout advance", "rollout halt", "retrain --decline", "models gc"}
)
"""Of commands that only show things otherwise."""

BACKUP, TASK = "saved.tar", "flights.toml"
STORY: tuple[tuple[str, str], ...] = (
    ("init", f"init --port {free_port()} --admin-port {free_port()}"),
    ("task", f"task {{aside}}/{TASK}"),
    ("invite", "invite --hours 2"),
    ("approve", "approve ada"),
    ("roster", "roster"),
    ("start", "start --rounds 1 --quorum 1 --detach"),
    ("stop", "stop 1"),
    ("evaluate", "evaluate 1 --quorum 1 --detach --window 2013-01-01..2013-02-01"),
    ("stop", "stop 2"),
    ("gate", "gate 1"),
    ("promote", "promote 1 --percent 50"),
    ("rollout pause", "rollout pause"),
    ("rollout resume", "rollout resume"),
    ("rollout advance", "rollout advance"),
    ("rollout halt", "rollout halt"),
    ("promote", "promote 3 --all"),
    ("survey", "survey --role reference --quorum 1 --detach"),
    ("stop", "stop 3"),
    ("promote", "promote 4 --all"),
    ("retrain --decline", "retrain --decline"),
    ("withdraw", "withdraw 3"),
    ("renew", "renew"),
    ("models gc", "models gc --yes"),
    ("rotate", "rotate timestamp"),
    ("backup", f"backup {{aside}}/{BACKUP}"),
    ("restore", f"restore {{aside}}/{BACKUP} --home {{aside}}/again"),
    ("revoke", "revoke ada"),
)
"""A federation's life, each line with the command that it is to be found under."""


def commands(group: click.Command, above: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command by the words that call it, groups that do something by themselves included."""
    if isinstance(group, click.Group):
        for name, command in group.commands.items():
            words = f"{above} {name}".strip()
            if not isinstance(command, click.Group) or command.invoke_without_command:
                yield words, command
            yield from commands(command, words)
