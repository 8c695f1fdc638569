"""A device's process is killed between any two states of the ledger, and starts again.

The child does what the agent does: push what was sealed, then charge, compute, seal, push, confirm. `computed`
and `pushed` are files that it appends to and syncs, so that they tell what happened before the kill.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from client.ledger import Ledger
from client.store import AgentStore
from shared import accounting
from shared.privacy import SampledGaussian

DELTA = 1e-5
ROUND = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)
ROOT = Path(__file__).parents[2]

AGENT = """
import os, secrets, signal, sys
from pathlib import Path
from client.ledger import Ledger
from client.policy import Limit
from client.store import AgentStore
from shared.errors import Refusal
from shared.privacy import Cost, PrivacyBudget, SampledGaussian

home, moment, requests = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
store = AgentStore(home / "agent.db")
ledger = Ledger(store)
event = SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16)

def at(here):
    if here == moment:
        os.kill(os.getpid(), signal.SIGKILL)

def append(name, request, reply):
    with (home / name).open("a") as file:
        file.write(f"{request} {reply.decode()}\\n")
        file.flush()
        os.fsync(file.fileno())

def push(request, reply):
    append("pushed", request, reply)
    at("pushed, not confirmed")
    ledger.mark_sent(request)
    at("sent")

for name in ("add_charge", "seal"):
    def around(*arguments, act=getattr(store, name), name=name, **named):
        if name == "seal":
            at("computed, not sealed")
        found = act(*arguments, **named)
        if name == "add_charge":
            at("charge not committed")
        return found
    setattr(store, name, around)

for request, reply in ledger.unsent():
    push(request, reply)
for request in requests:
    at("nothing")
    try:
        reply = ledger.charge(request, task="flights", purpose="training", cost=Cost(record=(event,)),
                              limits=[Limit(what="all", budget=PrivacyBudget(epsilon=50.0, delta=1e-5))])
        if reply is None:
            at("charged")
            reply = secrets.token_hex(8).encode()
            append("computed", request, reply)
            ledger.seal(request, reply)
            at("sealed")
        push(request, reply)
    except Refusal as refusal:
        append("refused", request, refusal.category.encode())
    print(request, flush=True)
"""

MOMENTS = (
    "nothing",
    "charge not committed",
    "charged",
    "computed, not sealed",
    "sealed",
    "pushed, not confirmed",
    "sent",
)


def start(home: Path, moment: str, *requests: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", AGENT, str(home), moment, *requests]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )


def run(home: Path, moment: str, *requests: str) -> int:
    with start(home, moment, *requests) as agent:
        agent.communicate()
    return agent.returncode


def lines(home: Path, name: str) -> list[str]:
    return (home / name).read_text().splitlines() if (home / name).exists() else []


def states(home: Path) -> list[str]:
    store = AgentStore(home / "agent.db")
    found = [charge.state for charge in store.charges()]
    store.close()
    return found


def spent(home: Path) -> float:
    store = AgentStore(home / "agent.db")
    found = Ledger(store).spent(DELTA).epsilon
    store.close()
    return found


def cost(charges: int) -> float:
    history = [SampledGaussian(noise_multiplier=1.2, sample_rate=1 / 32, steps=16 * charges)] if charges else []
    return accounting.epsilon(history, delta=DELTA)


# moment: state after the kill, charges after the kill, what the restart does with the request
EXPECTED: dict[str, tuple[list[str], str]] = {
    "nothing": ([], "computed anew"),
    "charge not committed": ([], "computed anew"),
    "charged": (["charged"], "refused"),
    "computed, not sealed": (["charged"], "refused"),
    "sealed": (["sealed"], "sent again"),
    "pushed, not confirmed": (["sealed"], "sent again"),
    "sent": (["sent"], "refused"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_kill_wastes_budget_at_most_and_never_releases_twice(tmp_path: Path, moment: str) -> None:
    after_kill, outcome = EXPECTED[moment]
    assert run(tmp_path, moment, "round-1") == -signal.SIGKILL
    assert states(tmp_path) == after_kill
    assert spent(tmp_path) == cost(len(after_kill))

    assert run(tmp_path, "never", "round-1") == 0
    assert len(lines(tmp_path, "computed")) <= 1
    assert len(set(lines(tmp_path, "pushed"))) <= 1
    assert spent(tmp_path) == cost(1)
    assert bool(lines(tmp_path, "refused")) == (outcome != "computed anew")
    assert states(tmp_path) == (["charged"] if moment in ("charged", "computed, not sealed") else ["sent"])


@pytest.mark.parametrize("moment", ["sealed", "pushed, not confirmed"])
def test_a_sealed_reply_goes_out_with_the_identical_bytes(tmp_path: Path, moment: str) -> None:
    run(tmp_path, moment, "round-1")
    run(tmp_path, "never")
    assert set(lines(tmp_path, "pushed")) == set(lines(tmp_path, "computed"))
    assert len(lines(tmp_path, "computed")) == 1


@pytest.mark.parametrize("moment", ["charged", "computed, not sealed"])
def test_a_charge_without_a_seal_is_burnt(tmp_path: Path, moment: str) -> None:
    run(tmp_path, moment, "round-1")
    run(tmp_path, "never", "round-1", "round-2")
    assert lines(tmp_path, "refused") == ["round-1 not-eligible"]
    assert [line.split()[0] for line in lines(tmp_path, "pushed")] == ["round-2"]
    assert spent(tmp_path) == pytest.approx(cost(2), rel=1e-12)


@pytest.mark.parametrize("survivors", [1, 4, 9])
def test_a_kill_from_outside_at_any_time_gives_nothing_back(tmp_path: Path, survivors: int) -> None:
    requests = [f"round-{number}" for number in range(15)]
    with start(tmp_path, "never", *requests) as agent:
        assert agent.stdout is not None
        for _ in range(survivors):
            agent.stdout.readline()
        os.kill(agent.pid, signal.SIGKILL)
    charged = len(states(tmp_path))
    assert charged >= survivors
    assert spent(tmp_path) == pytest.approx(cost(charged), rel=1e-12)

    assert run(tmp_path, "never", *requests) == 0
    computed = [line.split()[0] for line in lines(tmp_path, "computed")]
    assert len(computed) == len(set(computed))
    assert set(lines(tmp_path, "pushed")) <= set(lines(tmp_path, "computed"))
    assert spent(tmp_path) == pytest.approx(cost(len(requests)), rel=1e-12)
