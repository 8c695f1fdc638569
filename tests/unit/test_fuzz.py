"""The fuzzer itself: it finds what was put there to be found, makes the same inputs again, and changes by the grammar."""

import json
import logging
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from client.config import AgentHome
from client.ledger import Ledger
from client.store import AgentStore
from shared.errors import WireError
from simulations.fuzz import device, trial, workers
from simulations.fuzz.device import Device
from simulations.fuzz.documents import simple
from simulations.fuzz.engine import Tally, fuzz
from simulations.fuzz.mutation import mutate
from simulations.fuzz.parts import assemble, parts_of
from simulations.fuzz.protowire import read, write
from simulations.fuzz.registry import spread, targets
from simulations.fuzz.report import rows
from simulations.fuzz.structure import read_json, read_toml, write_json, write_toml
from simulations.fuzz.target import Broken, Target, pack, unpack
from simulations.fuzz.trial import Trials
from simulations.fuzz.workers import Job, run

TARGETS = {target.name: target for target in targets()}


def planted(plant: Callable[[bytes], None]) -> Target:
    """A parser of one number that does something else where the number is large."""

    def parse(data: bytes) -> str:
        try:
            number = int(data)
        except ValueError:
            raise WireError("it is no number") from None
        if number > 10**6:
            plant(data)
        return "read"

    return simple("planted", ("bytes",), 10, lambda: [b"12345678", b"1"], parse)


def crash(_: bytes) -> None:
    raise KeyError("planted")


def caught_crash(data: bytes) -> None:
    try:
        crash(data)
    except KeyError:
        logging.getLogger("anybody").exception("it was answered all the same")


def panic(_: bytes) -> None:
    raise BaseException("as Rust code does")  # noqa: TRY002


def hang(_: bytes) -> None:
    while True:
        time.sleep(0.01)


def stubborn_hang(_: bytes) -> None:
    while True:
        try:
            time.sleep(0.01)
        except Exception:  # noqa: BLE001 - whoever swallows everything cannot swallow this
            continue


def eat(_: bytes) -> None:
    np.ones(trial.MEGABYTES * 2**17 + 2**22)


def run_out(_: bytes) -> None:
    raise MemoryError


def unpaid(_: bytes) -> None:
    raise Broken("charge", "planted")


@pytest.mark.parametrize(
    ("plant", "kind"),
    [(crash, "crash"), (caught_crash, "crash"), (panic, "crash"), (hang, "hang"), (stubborn_hang, "hang"),
     (run_out, "memory"), (unpaid, "charge")],
)  # fmt: skip
def test_what_was_planted_is_found(plant: Callable[[bytes], None], kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "SECONDS", 0.2)
    tally = fuzz(planted(plant), inputs=4, seed="1")
    assert tally.broken[kind] >= 1  # type: ignore[index]
    assert tally.findings[0].data == b"12345678"
    assert tally.inputs == 4


def test_a_parser_that_only_refuses_is_found_nothing_against() -> None:
    tally = fuzz(planted(lambda _: None), inputs=500, seed="1")
    assert not tally.findings
    assert 0 < tally.accepted < 500
    assert len(tally.places) >= 2


def test_the_alarm_and_the_log_are_given_back() -> None:
    before = signal.getsignal(signal.SIGALRM), logging.getLogger().handlers, logging.root.manager.disable
    with pytest.raises(KeyboardInterrupt), Trials(lambda _: "x").watched():
        raise KeyboardInterrupt
    assert before == (signal.getsignal(signal.SIGALRM), logging.getLogger().handlers, logging.root.manager.disable)


# -- processes -------------------------------------------------------------------------------


def end_the_process(_: bytes) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def heed_no_signal(_: bytes) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    time.sleep(600)


@pytest.mark.parametrize(("plant", "kind"), [(end_the_process, "crash"), (heed_no_signal, "hang"), (eat, "memory")])
def test_what_ends_or_holds_or_fills_a_process_is_found_and_the_rest_goes_on(
    plant: Callable[[bytes], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STUCK_SECONDS", 3.0 if kind == "hang" else 60.0)
    monkeypatch.setattr(trial, "SECONDS", 60.0)
    done: list[Tally] = []
    run([Job(target=planted(plant), inputs=2, seed="1"), Job(target=planted(lambda _: None), inputs=50, seed="1")],
        processes=2, told=done.append)  # fmt: skip
    total = Tally(target="planted")
    for tally in done:
        total.add(tally)
    assert total.inputs >= 52
    assert total.broken[kind] >= 1  # type: ignore[index]
    assert total.findings[0].data == b"12345678"


# -- inputs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["document.round-plan", "document.task-file", "device.heads", "coordinator.reply"])
def test_the_same_seed_makes_the_same_inputs(name: str) -> None:
    def inputs(seed: str) -> list[bytes]:
        seen: list[bytes] = []
        fuzz(TARGETS[name], inputs=60, seed=seed, pulse=lambda _, data: data is None or seen.append(data))
        return seen

    assert inputs("1") == inputs("1")
    assert inputs("1") != inputs("2")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_taken(name: str) -> None:
    """At least one of each target's is, or changes of it would all end at the same first step."""
    target = TARGETS[name]
    seeds = target.seeds()
    tally = fuzz(target, inputs=len(seeds), seed="1")
    assert tally.accepted >= max(1, len(seeds) // 3)
    assert not tally.findings


def test_inputs_are_spread_by_share() -> None:
    chosen = tuple(TARGETS.values())
    counts = spread(chosen, 1_000_000)
    assert 1_000_000 <= sum(counts.values()) <= 1_000_000 + len(chosen)
    assert counts["document.round-plan"] > counts["device.request"] > 5000
    assert min(spread(chosen, 1).values()) == 100


@pytest.mark.parametrize("parts", [(b"",), (b"a", b""), (b"", b"", b"\x00\xff"), (b"1", b"22", b"333", b"4444")])
def test_parts_are_told_apart(parts: tuple[bytes, ...]) -> None:
    assert tuple(unpack(pack(*parts), len(parts))) == parts
    with pytest.raises(ValueError, match="middle"):
        unpack(b"\0\0\0\x05abc", 2)


def test_a_document_that_is_not_changed_stays_the_same() -> None:
    for target in TARGETS.values():
        for seed in target.seeds():
            for form, part in zip(target.parts, unpack(seed, len(target.parts)), strict=True):
                if form == "json" and part[:1] == b"{":
                    assert json.loads(write_json(read_json(part))) == json.loads(part)
                if form == "toml":
                    assert read_toml(write_toml(read_toml(part))) == read_toml(part)
                if form == "proto":
                    assert write(read(part)) == part


def test_changes_leave_many_documents_documents() -> None:
    """And among these are other types, lost and unknown fields, doubled ones, halves of characters, and depth."""
    random, seen = Random(1), Counter[str]()
    seeds = TARGETS["document.round-plan"].seeds()
    for _ in range(3000):
        data = mutate(("json",), seeds, random)
        seen["doubled"] += data.count(b'"steps"') > 1
        seen["half"] += b"\\ud800" in data
        seen["deep"] += data.count(b"[") > 1000
        seen["NaN"] += b"NaN" in data
        seen["huge"] += b"9" * 400 in data
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            continue
        seen["JSON"] += 1
        if isinstance(document, dict):
            seen["lost"] += "steps" not in document
            seen["type"] += not isinstance(document.get("steps"), int)
    assert seen["JSON"] > 1500
    assert min(seen.values()) > 2
    assert set(seen) == {"doubled", "half", "deep", "NaN", "huge", "JSON", "lost", "type"}


@pytest.mark.parametrize("form", ["bytes", "text", "json", "toml", "proto", "object"])
def test_anything_can_be_changed(form: Any) -> None:
    """Whatever a part holds, and whatever was made of it before."""
    random, pool = (
        Random(2),
        [b"", b"\0", b"{}", b"[[1.5]]", b"a = 1", b"\xff" * 9, b"\x08\x01\x15\0\0\0\0\x19" + bytes(8)],
    )
    pool += [unpack(seed, 6)[0] for seed in TARGETS["device.message"].seeds()]
    for _ in range(3000):
        pool[random.randrange(len(pool))] = mutate((form,), pool, random)
    assert max(map(len, pool)) < 10**6


def test_a_message_in_parts_is_put_together_under_honest_names() -> None:
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents

    (seed, *_) = TARGETS["device.message"].seeds()
    identity, contents = assemble(unpack(seed, 6))
    message: Any = inflate_object_from_contents(identity, contents)
    assert message.metadata.message_type == "train"
    assert parts_of(message) == unpack(seed, 6)


# -- the ledger's promise --------------------------------------------------------------------


def ask(tmp_path: Path, *, again: bool = False) -> None:
    """Let a device answer an honest round, and hold its ledger against the answer."""
    made = Device(AgentHome(tmp_path / "agent"))
    seed = device._requests()[0]
    for number in (1, 1) if again else (1, 2):
        word = device._request(made, seed, number)
        assert word.startswith("train ['array', 'report']")
    made.close()


def test_an_honest_ledger_keeps_the_promise(tmp_path: Path) -> None:
    ask(tmp_path)


def test_a_sealed_reply_that_is_asked_for_again_is_no_new_charge(tmp_path: Path) -> None:
    ask(tmp_path, again=True)


def without_events(monkeypatch: pytest.MonkeyPatch) -> None:
    add = AgentStore.add_charge

    def forgetful(self: AgentStore, request: str, *rest: Any, **more: Any) -> None:
        add(self, request, *rest, **more)
        self.db.execute("DELETE FROM events")

    monkeypatch.setattr(AgentStore, "add_charge", forgetful)


def twice(monkeypatch: pytest.MonkeyPatch) -> None:
    add = AgentStore.add_charge

    def eager(self: AgentStore, request: str, *rest: Any, **more: Any) -> None:
        add(self, request, *rest, **more)
        add(self, f"{request}/again", *rest, **more)

    monkeypatch.setattr(AgentStore, "add_charge", eager)


def not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "charge", lambda *_, **__: None)
    monkeypatch.setattr(Ledger, "seal", lambda *_: None)


def half(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charged with twice the noise that the plan has."""
    add = AgentStore.add_charge

    def cheap(self: AgentStore, request: str, *rest: Any, **more: Any) -> None:
        add(self, request, *rest, **more)
        self.db.execute("UPDATE events SET noise_multiplier = 2 * noise_multiplier")

    monkeypatch.setattr(AgentStore, "add_charge", cheap)


def unsealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "seal", lambda *_: None)


@pytest.mark.parametrize("mutant", [without_events, twice, not_at_all, half, unsealed], ids=lambda one: one.__name__)
def test_a_ledger_that_breaks_the_promise_is_found(
    mutant: Callable[[pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)
    with pytest.raises(Broken) as broken:
        ask(tmp_path)
    assert broken.value.kind == "charge"


# -- the report ------------------------------------------------------------------------------


def test_the_report_says_what_was_tried_and_what_was_broken() -> None:
    chosen = (TARGETS["device.request"], TARGETS["document.task"])
    tallies = {target.name: Tally(target=target.name, inputs=600_000) for target in chosen}
    found = {str(row["name"]): row for row in rows(tallies, chosen, seconds=100.0)}
    assert found["fuzz.inputs"]["value"] == 1_200_000
    assert all(row.get("meets", True) for row in found.values())
    assert "fuzz.device.request.charges without event" in found
    assert "fuzz.document.task.charges without event" not in found
    tallies["document.task"].broken["hang"] += 1
    found = {str(row["name"]): row for row in rows(tallies, chosen, seconds=901.0)}
    missed = {name for name, row in found.items() if not row.get("meets", True)}
    assert missed == {"fuzz.document.task.hangs", "fuzz.hangs", "fuzz.seconds"}
