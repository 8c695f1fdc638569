"""A device about which everything is held that may be: predictions, snapshots, refusals, a quarantine, a log."""

from contextlib import closing
from pathlib import Path

from predicted import served
from sequencing import COUNT, ROUND, Device

from client.audit import AuditLog
from client.ledger import Ledger
from client.predictions import PredictionLog
from client.snapshots import Snapshots
from client.store import AgentStore
from client.vault import Vault
from shared.files import write_secret
from shared.tasks import Window

SECRET = "harbour-4711"


def full_device(folder: Path) -> Device:
    """The device, after a session that charged three requests; the word `SECRET` is in every place that may hold it."""
    device = Device(folder)
    home, place = device.home, device.home.task("machines")
    home.key.parent.mkdir(exist_ok=True)
    write_secret(home.key, device.pem())
    for path in (home.staging, place.releases / "bad"):
        path.mkdir(parents=True)
    vault = Vault.open(home)
    with closing(PredictionLog(place.predictions, vault)) as log:
        log.add([served(n, id=f"{SECRET}-{n}", label="runs" if n % 2 else None) for n in range(6)])
    with closing(Snapshots(place.snapshots, vault)) as kept:
        kept.record(
            data_of(device), place.signed_task(), window=Window(), request=SECRET, run=1, round_number=1, version=2
        )  # fmt: skip
    with closing(AgentStore(home.database)) as store:
        ledger = Ledger(store)
        for number, events in enumerate([(ROUND,), (ROUND, COUNT), (COUNT,)]):
            device.charge(f"{SECRET} request {number}", *events)
        ledger.seal(f"{SECRET} request 2", b"a reply with " + SECRET.encode())
        store.add_refusal("machines", "budget", f"too much for {SECRET}")
        store.agree("machines", "0" * 64, words=f"You agree to {SECRET}.")
    with closing(AuditLog(home)) as audit:
        audit.add("training update", task="machines", purpose=f"{SECRET} round 1", content=SECRET.encode())
    with device.session() as session:
        session.reconcile()
    (folder / f"rows.parquet.{place.name}.quarantine.parquet").write_bytes(SECRET.encode())
    (home.path / "agent.log").write_text(SECRET)
    (home.path / "agent.log.1").write_text(SECRET)
    return device


def data_of(device: Device) -> Path:
    return Path(device.home.settings().tasks["machines"].data)


def hidden(folder: Path) -> bool:
    """Whether the secret word stands in no file under a folder."""
    return not any(SECRET.encode() in file.read_bytes() for file in folder.rglob("*") if file.is_file())
