"""The vault: what it seals opens again, one key a purpose, and one key a home wherever that is kept."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import chainer, fail

from client import vault as vault_module
from client import vaultkey
from client.config import AgentHome
from client.vault import SealError, Vault
from shared.errors import InputError

T = TypeVar("T", bound=KeyringBackend)
ROOT = Path(__file__).parents[2]


class Shelf(KeyringBackend):
    """A keyring that holds on to what it is given, as an operating system's does."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


class OtherShelf(Shelf):
    """The keyring of another desktop, which never saw the key."""


class PlainFile(Shelf):
    """A keyring that protects nothing, by its own account."""

    priority = 0.5  # type: ignore[assignment]


class Prompting(Shelf):
    """A keyring that waits for somebody to type a password."""

    def __init__(self) -> None:
        super().__init__()
        self.typed = threading.Event()

    def set_password(self, service: str, username: str, password: str) -> None:
        self.typed.wait()
        super().set_password(service, username, password)

    def get_password(self, service: str, username: str) -> str | None:
        self.typed.wait()
        return super().get_password(service, username)


# None of these may be picked where a test has not chosen it.
KeyringBackend._classes -= {Shelf, OtherShelf, PlainFile, Prompting}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "vault.key"


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    yield from chosen(Shelf())


@pytest.fixture
def prompting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Prompting]:
    monkeypatch.setattr(vaultkey, "ANSWER_SECONDS", 0.1)
    backend = Prompting()
    yield from chosen(backend)
    backend.typed.set()


def chosen(backend: T) -> Iterator[T]:
    before = keyring.get_keyring()
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


def test_what_is_sealed_opens_in_the_next_process(tmp_path: Path) -> None:
    sealed = Vault.open(AgentHome(tmp_path)).seal(b"load 0.5", about="predictions/served/1")
    assert b"load" not in sealed
    assert Vault.open(AgentHome(tmp_path)).unseal(sealed, about="predictions/served/1") == b"load 0.5"


def test_the_key_file_is_its_owners_alone(file: Path) -> None:
    Vault(file).seal(b"", about="x")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert len(file.read_bytes()) == 32


def test_opening_reads_and_makes_nothing(tmp_path: Path) -> None:
    Vault.open(AgentHome(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_two_seals_of_one_text_differ(file: Path) -> None:
    vault = Vault(file)
    assert vault.seal(b"same", about="x") != vault.seal(b"same", about="x")


def test_a_key_seals_a_bounded_number_of_messages(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_module, "MESSAGES_PER_KEY", 3)
    vault = Vault(file)
    sealed = [vault.seal(b"x", about="a/1") for _ in range(7)]
    salts = [one[9:25] for one in sealed]
    assert [salts.count(salt) for salt in dict.fromkeys(salts)] == [3, 3, 1]
    assert {vault.unseal(one, about="a/1") for one in sealed} == {b"x"}


def test_each_purpose_has_a_key_of_its_own(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With salt and nonce held still, equal keys would give equal ciphertexts."""
    monkeypatch.setattr(vault_module.os, "urandom", bytes)
    vault = Vault(file)
    same, first, other = (vault.seal(b"text", about=about)[37:41] for about in ("a/1", "a/2", "b/1"))
    assert same == first != other
    assert vault.digest("x", about="a") != vault.digest("x", about="b")
    assert vault.digest("x", about="a") == Vault(file).digest("x", about="a")


def test_processes_that_start_together_agree_on_one_key(file: Path) -> None:
    script = "import sys; from pathlib import Path; from client.vault import Vault; sys.stdin.read(1);"
    script += "print(Vault(Path(sys.argv[1])).digest('x', about='a').hex())"
    command = [sys.executable, "-c", script, str(file)]
    pipe = subprocess.PIPE
    children = [subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) for _ in range(6)]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("x")
        child.stdin.flush()
    answers = {child.communicate()[0] for child in children}
    assert len(answers) == 1
    assert answers == {Vault(file).digest("x", about="a").hex() + "\n"}
    assert [path.name for path in file.parent.iterdir()] == ["vault.key"]


def test_threads_that_start_together_agree_on_one_key(file: Path) -> None:
    sealed: list[bytes] = []
    threads = [threading.Thread(target=lambda: sealed.append(Vault(file).seal(b"x", about="a"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Vault(file).unseal(one, about="a") for one in sealed] == [b"x"] * 8


def test_a_real_keyring_keeps_the_key_and_the_file_says_where(file: Path, shelf: Shelf) -> None:
    sealed = Vault(file).seal(b"x", about="a")
    (key,) = shelf.kept.values()
    assert bytes.fromhex(key) not in file.read_bytes()
    assert key.encode() not in file.read_bytes()
    assert file.stat().st_mode & 0o777 == 0o600
    assert Vault(file).unseal(sealed, about="a") == b"x"


def test_a_key_in_a_file_is_found_without_importing_keyring(file: Path) -> None:
    Vault(file).seal(b"x", about="a")
    script = "import sys; from pathlib import Path; from client.vault import Vault;"
    script += "Vault(Path(sys.argv[1])).seal(b'x', about='a'); print('keyring' in sys.modules)"
    child = subprocess.run([sys.executable, "-c", script, str(file)], cwd=ROOT, capture_output=True, check=True)
    assert child.stdout == b"False\n"


def test_a_keyring_of_plain_text_is_refused(file: Path) -> None:
    for backend in chosen(PlainFile()):
        Vault(file).seal(b"x", about="a")
        assert backend.kept == {}
    assert len(file.read_bytes()) == 32


@pytest.mark.parametrize("offered", [[], [PlainFile], [PlainFile, Shelf]])
def test_of_a_chain_only_a_real_keyring_is_taken(
    file: Path, offered: list[type[Shelf]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backends = [kind() for kind in offered]
    monkeypatch.setattr(chainer.ChainerBackend, "backends", backends)
    for _ in chosen(chainer.ChainerBackend()):
        Vault(file).seal(b"x", about="a")
    assert [len(backend.kept) for backend in backends] == [int(type(backend) is Shelf) for backend in backends]
    assert (len(file.read_bytes()) == 32) == (not backends or type(backends[-1]) is PlainFile)


def test_a_keyring_that_prompts_nobody_leads_to_the_file(
    file: Path, prompting: Prompting, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = Vault(file).seal(b"x", about="a")
    assert len(file.read_bytes()) == 32
    assert "kept in a file: the operating system's keyring did not answer within 0.1 s" in caplog.text
    assert Vault(file).unseal(sealed, about="a") == b"x"


def test_a_locked_keyring_is_said_loses_nothing_and_is_left_alone_for_a_while(
    file: Path, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = Vault(file).seal(b"x", about="a")
    note = file.read_bytes()
    locked = Vault(file)

    def fail(*_: str) -> str:
        raise RuntimeError("prompt dismissed")

    monkeypatch.setattr(shelf, "get_password", fail)
    with pytest.raises(InputError, match=r"keyring cannot be used: prompt dismissed$") as failure:
        locked.unseal(sealed, about="a")
    assert not isinstance(failure.value, SealError)
    with pytest.raises(InputError, match="prompt dismissed"):
        Vault(file).seal(b"y", about="a")
    monkeypatch.undo()
    with pytest.raises(InputError, match="prompt dismissed"):
        locked.unseal(sealed, about="a")
    assert Vault(file).unseal(sealed, about="a") == b"x"
    assert file.read_bytes() == note


@pytest.mark.parametrize("later", [fail.Keyring, OtherShelf])
def test_before_its_keyring_is_there_nothing_is_lost(file: Path, later: type[KeyringBackend]) -> None:
    for _ in chosen(Shelf()):
        Vault(file).seal(b"x", about="a")
    note = file.read_bytes()
    for _ in chosen(later()):
        with pytest.raises(
            InputError, match=r"keyring .*Shelf that holds the key of .*vault\.key is not there; log in"
        ):
            Vault(file).seal(b"y", about="a")
    assert file.read_bytes() == note


def test_a_key_that_left_its_keyring_is_said_and_replaced(
    file: Path, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = Vault(file).seal(b"x", about="a")
    shelf.kept.clear()
    again = Vault(file)
    with pytest.raises(SealError, match="has another key, which is gone"):
        again.unseal(sealed, about="a")
    assert "gone from the operating system's keyring: what it sealed is gone" in caplog.text
    assert again.unseal(again.seal(b"y", about="a"), about="a") == b"y"
    assert len(shelf.kept) == 1


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_damaged_key_file_is_said_and_kept_aside(
    file: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = Vault(file).seal(b"x", about="a")
    file.write_bytes(content)
    again = Vault(file)
    assert again.unseal(again.seal(b"y", about="a"), about="a") == b"y"
    assert f"the vault's key {file} is damaged: what it sealed is gone" in caplog.text
    assert file.with_name("vault.key.lost").read_bytes() == content
    with pytest.raises(SealError):
        again.unseal(sealed, about="a")


def test_a_key_that_cannot_be_read_is_not_replaced(file: Path) -> None:
    file.mkdir(parents=True)
    with pytest.raises(InputError, match=r"vault's key .*vault\.key cannot be read \(Is a directory\)"):
        Vault(file).seal(b"x", about="a")
    assert file.is_dir()


def test_destroying_removes_the_key_from_the_file(file: Path) -> None:
    vault = Vault(file)
    sealed = vault.seal(b"x", about="a")
    vault.destroy()
    assert list(file.parent.iterdir()) == []
    with pytest.raises(SealError):
        vault.unseal(sealed, about="a")
    vault.destroy()


def test_destroying_removes_the_key_from_the_keyring(file: Path, shelf: Shelf) -> None:
    vault = Vault(file)
    vault.seal(b"x", about="a")
    vault.destroy()
    assert shelf.kept == {}
    assert list(file.parent.iterdir()) == []


def test_destroying_what_a_keyring_holds_on_to_fails_and_can_be_repeated(file: Path) -> None:
    shelf = Shelf()
    for _ in chosen(shelf):
        Vault(file).seal(b"x", about="a")
    with pytest.raises(InputError, match="log in"):
        Vault(file).destroy()
    assert file.exists()
    for _ in chosen(shelf):
        Vault(file).destroy()
    assert shelf.kept == {}
    assert not file.exists()


def test_a_home_that_was_never_made_has_nothing_to_destroy(tmp_path: Path) -> None:
    Vault(tmp_path / "none" / "keys" / "vault.key").destroy()
    assert list(tmp_path.iterdir()) == []
