"""A store that remembers says the same as one that reads everything, and reads only what moved."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from server.store import Store
from shared.health import Health

NAMES = st.sampled_from(["ada", "ben", "cyd", "Äsa", "zoë"])
STEPS = st.one_of(
    st.tuples(st.just("enrol"), NAMES),
    st.tuples(st.just("touch"), NAMES),
    st.tuples(st.just("approve"), NAMES),
    st.tuples(st.just("install"), NAMES),
    st.tuples(st.just("report"), NAMES),
    st.tuples(st.just("look"), st.none()),
)


def act(store: Store, step: str, name: str, at: float) -> None:
    """Do one thing to a store; what concerns a device that is not there does nothing."""
    known = {device.name for device in store.devices()}
    if step == "enrol" and name not in known:
        store.add_invitation(name, 1e12)
        store.enrol(name, name, name.encode())
    elif step == "touch":
        store.touch_device(name, at=at, bytes_up=1, bytes_down=2)
    elif step == "approve":
        store.set_device_state(name, "approved", roster_signature=b"signed")
    elif step == "install":
        store.set_installed(name, int(at), "self-test passed", affords={"flights": "5+"})
    elif step == "report" and name in known:
        store.put_health(
            name, [Health(task="flights", release=1 + int(at) % 2, verdict="serves", p95_us=int(at))], at=at
        )


@given(st.lists(STEPS, max_size=30))
@settings(max_examples=60, deadline=None)
def test_it_says_what_is_there(steps: list[tuple[str, str | None]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "covey.db"
        writer, watcher = Store(path), Store(path)
        watcher.remember()
        for at, (step, name) in enumerate(steps, start=1):
            if name is not None:
                act(writer, step, name, float(at))
            else:
                assert watcher.devices() == writer.devices()
                assert watcher.health() == writer.health()
        assert watcher.devices() == writer.devices()
        assert watcher.health("flights", 1) == writer.health("flights", 1)
        writer.close()
        watcher.close()


def test_only_rows_that_moved_are_read_again(tmp_path: Path) -> None:
    writer, watcher = Store(tmp_path / "covey.db"), Store(tmp_path / "covey.db")
    watcher.remember()
    for name in ("cyd", "ada", "ben"):
        act(writer, "enrol", name, 1.0)
    before = {device.name: device for device in watcher.devices()}
    writer.touch_device("ben", at=5.0, bytes_up=0, bytes_down=0)
    after = watcher.devices()
    assert [device.name for device in after] == ["ada", "ben", "cyd"]
    assert [device is before[device.name] for device in after] == [True, False, True]
    writer.close()
    watcher.close()
