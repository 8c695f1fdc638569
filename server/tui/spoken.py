"""What each word after `:` does. The words that act ask first, as their keys do."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING

from server.tui.header import VIEWS
from server.tui.themes import THEMES
from server.tui.vocabulary import Word, begun, split, word_of
from shared.errors import InputError

if TYPE_CHECKING:  # the frame is painted before the store's modules are imported
    from server.tui.app import CoveyApp
    from server.tui.commands import Act
    from server.tui.view import View
    from server.tui.watcher import Snapshot


def _devices(*states: str) -> "Callable[[Snapshot], list[str]]":
    return lambda snapshot: [device.name for device in snapshot.devices if device.state in states]


def _tasks(snapshot: "Snapshot") -> list[str]:
    return [task.name for task in snapshot.tasks]


ACTS = (
    Word(name="promote", takes="VERSION", means="test a version and sign it as a release", acts=True,
         offers=lambda s: [str(v.number) for v in reversed(s.versions) if v.stage == "candidate"]),
    Word(name="withdraw", takes="RELEASE", means="take a release back", acts=True,
         offers=lambda s: [str(release.number) for release in reversed(s.releases)]),
    Word(name="approve", takes="DEVICE …", means="let devices take part", acts=True, offers=_devices("pending")),
    Word(name="revoke", takes="DEVICE …", means="shut devices out", acts=True, offers=_devices("pending", "approved")),
    Word(name="start", means="start rounds", acts=True),
    Word(name="survey", means="count what devices see", acts=True),
    Word(name="stop", means="end the run under way", acts=True),
    Word(name="pause", takes="TASK", means="keep a rollout where it is", acts=True, offers=_tasks),
    Word(name="resume", takes="TASK", means="let a paused rollout go on", acts=True, offers=_tasks),
    Word(name="advance", takes="TASK", means="open the next stage now", acts=True, offers=_tasks),
    Word(name="halt", takes="TASK", means="take a release away from everyone", acts=True, offers=_tasks),
    Word(name="run", takes="COMMAND …", means="any other command of covey, such as `run roster`", acts=True),
)  # fmt: skip
"""The words that change the federation."""

WORDS = (
    *(Word(name=view.lower(), takes="[QUERY]", means=f"show {view}, or the rows there that a query finds") for view in VIEWS),
    *ACTS,
    Word(name="filter", takes="[QUERY]", means="show the rows that a query finds, as / does"),
    Word(name="sort", takes="FIELD [falling]", means="order the rows by a field"),
    Word(name="mark", takes="all | none", means="mark every row shown", offers=lambda _: ["all", "none"]),
    Word(name="export", takes="svg | csv | json [FILE]", means="write the screen or the rows shown into a file",
         offers=lambda _: ["svg", "csv", "json"]),
    Word(name="theme", takes="NAME", means="change the colours", offers=lambda _: [theme.name for theme in THEMES]),
    Word(name="help", means="the keys that do something here, and the words"),
    Word(name="undo", means="undo what was done last, where that can be"),
    Word(name="q", means="leave; rounds go on without this window"),
)  # fmt: skip


async def say(app: "CoveyApp", typed: str) -> None:
    """Do what a line says; raise `InputError` if it says nothing that can be done."""
    name, rest = begun(typed)
    word = word_of(name, app.words())
    if word.takes and not word.takes.startswith("[") and not rest:
        raise InputError(f"{word} needs {word.takes} after it")
    if view := next((view for view in VIEWS if view.lower() == word.name), None):
        await _visit(app, view, rest)
    elif word.name == "filter":
        _narrow(app.require_view(), rest)
    elif word.name in {"start", "survey", "help", "undo"}:
        await _begin(app, word.name)
    elif word.acts:
        _ask(app, word.name, split(rest))
    else:
        _ON_SCREEN[word.name](app, split(rest))


async def _visit(app: "CoveyApp", name: str, query: str) -> None:
    """Show a view, and what a query finds there; where the query is none, all stays as it is."""
    if query:
        view = await app.made(name)
        view.show(app.require_snapshot(), app.clock())
        _narrow(view, query)
    await app.action_view(name)


def _narrow(view: "View", query: str) -> None:
    """Search a view's table in focus; raise `InputError` if the query is none, or there are no rows yet."""
    if view.has_class("-empty"):
        raise InputError(f"{view.id} has no rows to search yet")
    view.search_for(query)


async def _begin(app: "CoveyApp", name: str) -> None:
    """Do what a key does; raise `InputError` with the reason where the key does nothing."""
    from server.tui.unable import why_not

    if not app.check_action(name, ()):
        raise InputError(why_not(name, app.require_snapshot()))
    await app.run_action(f"app.{name}")


def _ask(app: "CoveyApp", name: str, rest: list[str]) -> None:
    """Ask before an act; raise `InputError` where it is about nothing that there is."""
    from server.tui.named import act_of

    def anew() -> "Act":
        return act_of(name, rest, app.require_snapshot(), app.clock())

    app.ask(anew(), anew)


def _sort(app: "CoveyApp", rest: list[str]) -> None:
    from server.tui.table import Order

    table = app.require_table()
    if rest[0].lower() not in table.names:
        raise InputError(f"no field is called {rest[0]!r}; there are {', '.join(table.names)}")
    if rest[1:] not in ([], ["falling"], ["rising"]):
        raise InputError(f"rows are ordered rising or falling, not {' '.join(rest[1:])!r}")
    table.sort(Order(name=rest[0].lower(), falling=rest[1:] == ["falling"]))


def _mark(app: "CoveyApp", rest: list[str]) -> None:
    if rest not in (["all"], ["none"]):
        raise InputError("mark all or none")
    table = app.require_table()
    table.mark(set(table.keys) if rest == ["all"] else set())


def _theme(app: "CoveyApp", rest: list[str]) -> None:
    if rest[0] not in app.available_themes:
        close = get_close_matches(rest[0], app.available_themes, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(theme.name for theme in THEMES)}, …"
        raise InputError(f"no theme is called {rest[0]!r}; {hint}")
    app.theme = rest[0]


_ON_SCREEN: Mapping[str, "Callable[[CoveyApp, list[str]], object]"] = {
    "sort": _sort,
    "mark": _mark,
    "theme": _theme,
    "export": lambda app, rest: app.export(rest),
    "q": lambda app, _: app.exit(),
}
"""The words that change only what is on screen."""
