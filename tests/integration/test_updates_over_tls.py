"""An update over a real TLS connection, and what a device hears when there is none to be trusted."""

import ssl
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from releasing import Works, build_works

from client.updates import Updates
from server.pki import create_authority, create_server_certificate
from shared.errors import InputError, Unreachable


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def works(tmp_path: Path) -> Works:
    works = build_works(tmp_path)
    works.publish(seed=1)
    works.federation.tls.mkdir()
    create_authority(works.federation.tls, name="works")
    create_server_certificate(works.federation.tls, hosts=["127.0.0.1"])
    works.home.authority.write_bytes((works.federation.tls / "ca.crt").read_bytes())
    return works


@pytest.fixture
def port(works: Works) -> Iterator[int]:
    """Serves the federation's `tuf/` directory."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(works.federation.home)))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(works.federation.tls / "server.crt", works.federation.tls / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


def set_coordinator(works: Works, port: int) -> None:
    text = works.home.settings_file.read_text(encoding="utf-8")
    changed = text.replace('coordinator = "coordinator"', f'coordinator = "127.0.0.1:{port}"')
    works.home.settings_file.write_text(changed, encoding="utf-8")


def test_an_update_arrives_over_tls(works: Works, port: int) -> None:
    set_coordinator(works, port)
    assert Updates(works.home).check().installed
    assert works.serving() == 1


def test_a_server_of_another_authority_is_not_spoken_to(works: Works, port: int, tmp_path: Path) -> None:
    set_coordinator(works, port)
    (tmp_path / "other").mkdir()
    create_authority(tmp_path / "other", name="works")
    works.home.authority.write_bytes((tmp_path / "other" / "ca.crt").read_bytes())
    with pytest.raises(Unreachable, match="certificate"):
        Updates(works.home).check()


def test_a_coordinator_that_does_not_answer_is_unreachable(works: Works) -> None:
    set_coordinator(works, 9)
    with pytest.raises(Unreachable, match="cannot be fetched"):
        Updates(works.home).check()
    assert works.serving() == 0


def test_a_missing_authority_is_named(works: Works) -> None:
    works.home.authority.unlink()
    with pytest.raises(InputError, match=r"ca\.crt is missing"):
        Updates(works.home).check()
