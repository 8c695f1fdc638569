"""Pictures of the terminal's views, drawn from a federation's directory: `python -m simulations.screenshots`."""

import argparse
import asyncio
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from textual.pilot import Pilot
from textual.widget import Widget

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.header import VIEWS
from server.tui.table import Table
from server.tui.watcher import newest
from shared.errors import InputError
from simulations.outlines import outlined

PATIENCE_SECONDS, REST_SECONDS = 30.0, 0.1
WATCHER = "watch_store"
"""The one worker that never ends."""

LIGHT = "Fleet"
"""The view that is drawn in the light theme too."""

FONTS = "ui-monospace, SF Mono, Menlo, Consolas, DejaVu Sans Mono, monospace"


def moment_of(home: Path) -> float:
    """The latest moment that the store speaks of, so that old directories do not look long dead."""
    store = Store(Federation(home).database)
    runs = tuple(store.runs())
    found = newest(tuple(store.devices()), runs, {run.id: p for run in runs if (p := store.progress(run.id))})
    store.close()
    return time.time() if found is None else found


async def draw(home: Path, *, size: tuple[int, int], theme: str, views: Sequence[str] = VIEWS) -> dict[str, str]:
    """Each of `views` as SVG, by its name; raise `InputError` if there is no federation or it cannot be read."""
    Federation(home).settings()
    now = moment_of(home)
    app = CoveyApp(home, clock=lambda: now)
    pictures: dict[str, str] = {}
    async with app.run_test(size=size) as pilot:
        await _until(pilot, lambda: _is_there(app, app.current), f"the store of {home} could not be read")
        app.theme = theme
        for name in views:
            await _open(pilot, app, name)
            pictures[name] = portable(await _at_rest(pilot, title=f"covey · {name}"))
    return pictures


async def draw_all(home: Path, *, size: tuple[int, int]) -> dict[str, str]:
    """Every view in dark, by its name, and one in light beside them."""
    light = await draw(home, size=size, theme="covey-light", views=[LIGHT])
    return await draw(home, size=size, theme="covey-dark") | {f"{LIGHT}-light": light[LIGHT]}


async def _open(pilot: Pilot[None], app: CoveyApp, name: str) -> None:
    """Go to a view by its number; of rounds, those of the newest campaign, for surveys and evaluations ask once."""
    await pilot.press(str(VIEWS.index(name) + 1))
    await _until(pilot, lambda: _is_there(app, name), f"{name} was not shown")
    campaigns = [run for run in app.require_snapshot().runs if run.kind == "train"]
    if name == "Rounds" and campaigns:
        app.require_view().query_one("#runs", Table).select(str(campaigns[-1].id))


def _is_there(app: CoveyApp, name: str) -> bool:
    """Whether the store was read, and a view's widgets are there to show it."""
    view = app.view_in_sight()
    there = view is not None and view.is_mounted and all(widget.is_mounted for widget in view.walk_children(Widget))
    return app.snapshot is not None and app.current == name and there


async def _until(pilot: Pilot[None], reached: Callable[[], bool], trouble: str) -> None:
    """Let the terminal work until something is so; raise `InputError` if that takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        if time.monotonic() > deadline:
            raise InputError(trouble)
        await pilot.pause(0.05)


async def _at_rest(pilot: Pilot[None], *, title: str) -> str:
    """The picture once it does not change any more: views are made and filled in steps."""
    deadline, before = time.monotonic() + PATIENCE_SECONDS, ""
    while time.monotonic() < deadline:
        await pilot.pause(REST_SECONDS)
        now = pilot.app.export_screenshot(title=title)
        if now == before and not any(worker.is_running for worker in pilot.app.workers if worker.name != WATCHER):
            return now
        before = now
    raise InputError(f"{title} never came to rest")


def portable(svg: str) -> str:
    """A picture that looks the same everywhere: it fetches no font, and no font decides how its lines meet."""
    bare = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)
    bare = bare.replace("font-family: Fira Code, monospace", f"font-family: {FONTS}").replace(": arial", ": sans-serif")
    return outlined(re.sub(r"terminal-\d+-", "covey-", bare))


def write(pictures: dict[str, str], out: Path) -> list[Path]:
    """Keep each picture under its view's name."""
    out.mkdir(parents=True, exist_ok=True)
    files = {out / f"{name.lower()}.svg": svg for name, svg in pictures.items()}
    for file, svg in files.items():
        file.write_text(svg, encoding="utf-8")
    return list(files)


def main() -> None:
    """Draw every view of the federation at `--home` into `--out`, and one of them in light."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the federation's directory")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where the pictures go")
    parser.add_argument("--size", default="120x36", help="columns x lines")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    try:
        pictures = asyncio.run(draw_all(options.home, size=(width, height)))
    except InputError as error:
        parser.exit(1, f"screenshots: {error}\n")
    parser.exit(0, "".join(f"{file}\n" for file in write(pictures, options.out)))


if __name__ == "__main__":
    main()
