"""Pictures of the terminal's views, drawn from a federation's directory: `python -m simulations.screenshots`."""

import argparse
import asyncio
import re
import time
from pathlib import Path

from server.config import Federation
from server.store import Store
from server.tui.app import CoveyApp
from server.tui.header import VIEWS
from server.tui.watcher import newest
from shared.errors import InputError
from simulations.outlines import outlined

PATIENCE_SECONDS = 30.0
FONTS = "ui-monospace, SF Mono, Menlo, Consolas, DejaVu Sans Mono, monospace"


def moment_of(home: Path) -> float:
    """The latest moment that the store speaks of, so that old directories do not look long dead."""
    store = Store(Federation(home).database)
    runs = tuple(store.runs())
    found = newest(tuple(store.devices()), runs, {run.id: p for run in runs if (p := store.progress(run.id))})
    store.close()
    return time.time() if found is None else found


async def draw(home: Path, *, size: tuple[int, int], theme: str) -> dict[str, str]:
    """Each view as SVG, by its name; raise `InputError` if there is no federation or it cannot be read."""
    Federation(home).settings()
    now = moment_of(home)
    app = CoveyApp(home, clock=lambda: now)
    pictures: dict[str, str] = {}
    async with app.run_test(size=size) as pilot:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while app.snapshot is None:
            if time.monotonic() > deadline:
                raise InputError(f"the store of {home} could not be read: {app.trouble or 'no answer'}")
            await pilot.pause(0.05)
        app.theme = theme
        for number, name in enumerate(VIEWS, start=1):
            await pilot.press(str(number))
            await pilot.pause()
            await pilot.pause()
            pictures[name] = portable(app.export_screenshot(title=f"covey · {name}"))
    return pictures


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
    """Draw every view of the federation at `--home` into `--out`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the federation's directory")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="where the pictures go")
    parser.add_argument("--size", default="120x36", help="columns x lines")
    parser.add_argument("--theme", default="covey-dark")
    options = parser.parse_args()
    width, height = (int(part) for part in options.size.split("x"))
    try:
        pictures = asyncio.run(draw(options.home, size=(width, height), theme=options.theme))
    except InputError as error:
        parser.exit(1, f"screenshots: {error}\n")
    parser.exit(0, "".join(f"{file}\n" for file in write(pictures, options.out)))


if __name__ == "__main__":
    main()
