"""The coordinator may send any code it likes: the agent neither runs it nor asks for it."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flwr.app import ArrayRecord, Context, Message, RecordDict
from superlink import SuperLink, make_bundle

from client.ledger import Ledger
from client.node import Node
from client.store import AgentStore


@pytest.fixture
def link(tmp_path: Path) -> Iterator[SuperLink]:
    link = SuperLink(tmp_path / "link")
    link.start()
    yield link
    link.kill()


def test_a_hostile_bundle_leaves_no_mark(link: SuperLink, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    hostile = f"open({str(mark)!r}, 'w').close()\nraise SystemExit\n"
    contexts: list[Context] = []

    def installed(message: Message, context: Context) -> Message:
        contexts.append(context)
        return Message(message.content, reply_to=message)

    store = AgentStore(tmp_path / "agent.db")
    stopping, key = Event(), ec.generate_private_key(ec.SECP256R1())
    device = link.register(key)
    node = Node(
        coordinator=link.address, trust=link.trust, key=key, app=installed, agent=tmp_path / "agent",
        ledger=Ledger(store), stopping=stopping,
    )  # fmt: skip
    paths: list[str] = []
    node._fleet._http._client.event_hooks = {"request": [lambda request: paths.append(_path(request))]}
    run = link.start_run(make_bundle(tmp_path / "bundle", code=hostile))
    thread = Thread(target=node.run)
    thread.start()
    try:
        reply = run.reply(run.ask(device, RecordDict({"array": ArrayRecord([np.arange(3, dtype=np.float32)])})))
    finally:
        stopping.set()
        thread.join()
        node.leave()
        run.close()
        store.close()

    assert reply.has_content(), "the installed app answered"
    assert not mark.exists(), "code from the bundle ran"
    assert contexts[0].run_config == {}, "the bundle's configuration reached the app"
    assert not {path for path in paths if "fab" in path or "get-run" in path}, "the bundle was asked for"


def _path(request: httpx.Request) -> str:
    return request.url.path
