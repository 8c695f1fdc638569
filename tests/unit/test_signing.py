"""A signature is worth exactly the request that it was made for."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from shared import signing
from shared.errors import WireError

NOW = 1_800_000_000.5
KEY = ec.generate_private_key(ec.SECP256R1())
REQUEST = {"method": "POST", "path": "/v1/fleet/push-messages", "body": b"an update"}


def signed(key: ec.EllipticCurvePrivateKey = KEY) -> dict[str, str]:
    return signing.sign(key, **REQUEST, now=NOW)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1()], ids=["P-256", "P-384"])
def test_a_signed_request_names_its_key(curve: ec.EllipticCurve) -> None:
    key = ec.generate_private_key(curve)
    assert signing.verify(signed(key), **REQUEST, now=NOW) == signing.public_key_bytes(key.public_key())


def test_the_key_has_the_form_that_flower_keeps() -> None:
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    assert signing.public_key_bytes(KEY.public_key()) == public_key_to_bytes(KEY.public_key())


@pytest.mark.parametrize(
    "other", [{"method": "GET"}, {"path": "/v1/fleet/pull-messages"}, {"body": b"another"}, {"body": b""}]
)
def test_it_is_worth_no_other_request(other: dict[str, object]) -> None:
    with pytest.raises(WireError, match="does not match"):
        signing.verify(signed(), **{**REQUEST, **other}, now=NOW)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seconds", [-301, 302, 1e6])
def test_it_is_worth_nothing_at_another_time(seconds: float) -> None:
    with pytest.raises(WireError, match="300 seconds"):
        signing.verify(signed(), **REQUEST, now=NOW + seconds)


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_clocks_may_differ_a_little(seconds: float) -> None:
    signing.verify(signed(), **REQUEST, now=NOW + seconds)


def test_each_signature_has_its_own_nonce() -> None:
    assert len({signed()[signing.NONCE] for _ in range(100)}) == 100


@pytest.mark.parametrize("name", [signing.KEY, signing.NONCE, signing.TIME, signing.SIGNATURE])
@pytest.mark.parametrize("value", [None, "", "\N{SNOWMAN}", "x" * 2000, "1\n2", "####"])
def test_a_damaged_header_is_refused(name: str, value: str | None) -> None:
    headers = signed()
    del headers[name]
    if value is not None:
        headers[name] = value
    with pytest.raises(WireError):
        signing.verify(headers, **REQUEST, now=NOW)


def pem(key: object) -> bytes:
    subject = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, subject)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "other",
    [b"", b"no key", pem(ec.generate_private_key(ec.SECP256K1())), pem(ed25519.Ed25519PrivateKey.generate())],
    ids=["empty", "no key", "another curve", "another kind"],
)
def test_only_keys_that_a_device_may_have_are_read(other: bytes) -> None:
    with pytest.raises(WireError):
        signing.load_public_key(other)
    assert signing.claimed_key({signing.KEY: base64.b64encode(other).decode()}) is None


def test_a_key_has_one_form_however_it_is_written() -> None:
    headers = signed()
    spaced = b"a comment\n" + base64.b64decode(headers[signing.KEY]).replace(b"\n", b"\r\n")
    headers[signing.KEY] = base64.b64encode(spaced).decode()
    assert signing.verify(headers, **REQUEST, now=NOW) == signing.public_key_bytes(KEY.public_key())
