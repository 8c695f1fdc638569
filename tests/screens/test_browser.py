"""The terminal UI in a browser: served as `docs/browser.md` says, loaded in Chromium, and looked at."""

import asyncio
import base64
import io
import json
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from textual.color import Color

from server.tui.themes import DARK

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium")
SERVE = "import sys; from textual_serve.server import Server; Server(sys.argv[1], port=int(sys.argv[2])).serve()"

pytestmark = [pytest.mark.proof, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]


@pytest.fixture
def page(told: Path) -> Iterator[str]:
    """Where a read-only terminal on the story is served."""
    pytest.importorskip("textual_serve", reason="the extra `web` is not installed")
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = f"{sys.executable} -m server --home {told} --read-only"
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE, command, str(port)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"http://localhost:{port}/"
    server.terminate()
    server.wait(20)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[str]:
    """A Chromium without a screen, and where it is told what to do."""
    chromium = subprocess.Popen(
        [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,800",
         f"--user-data-dir={tmp_path / 'profile'}", "--remote-debugging-port=0", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert chromium.stderr
    url = next(line.split()[-1] for line in chromium.stderr if "DevTools listening on" in line)
    yield url.split("/")[2]
    chromium.kill()
    chromium.stderr.close()
    chromium.wait(20)


async def test_the_page_shows_the_terminal(page: str, browser: str) -> None:
    image = pytest.importorskip("PIL.Image")
    picture = image.open(io.BytesIO(await painted(page, browser))).convert("RGB")
    colours = Counter(zip(*[iter(picture.tobytes())] * 3, strict=True))
    assert DARK.background
    assert colours.most_common(1)[0][0] == Color.parse(DARK.background).rgb
    assert len(colours) > 100


async def painted(page: str, browser: str) -> bytes:
    """A picture of the page, once the terminal wrote to it and nothing moves any more."""
    from websockets.asyncio.client import connect

    await reached(page)
    async with httpx.AsyncClient() as client:
        found = (await client.get(f"http://{browser}/json")).json()
    [target] = [each["webSocketDebuggerUrl"] for each in found if each["type"] == "page"]
    async with connect(target, max_size=None) as devtools:

        async def call(number: int, method: str, **parameters: object) -> dict[str, Any]:
            await devtools.send(json.dumps({"id": number, "method": method, "params": parameters}))
            while (said := json.loads(await devtools.recv())).get("id") != number:
                pass
            return said["result"]

        await call(1, "Page.navigate", url=page)
        before, same = b"", 0
        for number in range(2, 240):
            await asyncio.sleep(0.25)
            loaded = await call(2 * number, "Runtime.evaluate", expression="document.body.className")
            shot = base64.b64decode((await call(2 * number + 1, "Page.captureScreenshot"))["data"])
            same = same + 1 if shot == before and "-first-byte" in loaded["result"]["value"] else 0
            if same == 8:
                return shot
            before = shot
    raise AssertionError("the page never came to rest")


async def reached(page: str) -> None:
    """Wait until the server answers."""
    async with httpx.AsyncClient() as client:
        for _ in range(120):
            try:
                await client.get(page)
            except httpx.TransportError:
                await asyncio.sleep(0.25)
            else:
                return
    raise AssertionError("nobody serves the page")
