"""Published answers: what signs, derives, encrypts and makes noise here gives what the standards print.

Where Covey's own prefix keeps a vector from passing through its function, the standard's formula is written out,
held against the vectors, and then against that function.
"""

import base64
import hashlib
import hmac
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Signature, SSlibKey

from client import vault
from client.vault import SealError, Vault
from server import enroll
from server.config import Federation
from server.repository import Repository
from shared import signing
from shared.errors import WireError
from shared.noise import CipherStream

VECTORS = Path(__file__).parent / "vectors"


def published(name: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / f"{name}.json").read_text())["vectors"]


# -- Ed25519: the roles of the repository, and the roster (RFC 8032, 7.1) ---------------------

ED25519 = {
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    "TEST SHA(abc)": (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
}
ORDER = 2**252 + 27742317777372353535851937790883648493


def keep(folder: Path, name: str, secret: str) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize("name", ED25519)
def test_a_role_and_the_roster_sign_as_rfc_8032_prints(name: str, tmp_path: Path) -> None:
    secret, public, message, signature = ED25519[name]
    federation = Federation(tmp_path)
    for role in ("targets", "roster"):
        keep(federation.keys, role, secret)
    signer = Repository(federation)._signer("targets")
    assert signer.public_key.keyval == {"public": public}
    assert signer.sign(bytes.fromhex(message)).signature == signature
    assert enroll._roster_key(federation).sign(bytes.fromhex(message)).hex() == signature


def another_message(message: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return message + b"\0", signature


def another_point(message: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return message, bytes([signature[0] ^ 1]) + signature[1:]


def another_scalar(message: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return message, signature[:32] + bytes([signature[32] ^ 1]) + signature[33:]


def the_scalar_and_the_order(message: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """RFC 8032, 5.1.7: S must be below the order, or each signature has a twin."""
    return message, signature[:32] + (int.from_bytes(signature[32:], "little") + ORDER).to_bytes(32, "little")


def cut_off(message: bytes, signature: bytes) -> tuple[bytes, bytes]:
    return message, signature[:-1]


@pytest.mark.parametrize("name", ED25519)
@pytest.mark.parametrize(
    "spoil", [another_message, another_point, another_scalar, the_scalar_and_the_order, cut_off], ids=lambda s: s.__name__
)  # fmt: skip
def test_what_a_device_verifies_metadata_with_takes_these_signatures_and_no_other(name: str, spoil: Any) -> None:
    _, public, message, signature = (bytes.fromhex(part) for part in ED25519[name])
    key = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public))
    key.verify_signature(Signature(key.keyid, signature.hex()), message)
    message, signature = spoil(message, signature)
    with pytest.raises(UnverifiedSignatureError):
        key.verify_signature(Signature(key.keyid, signature.hex()), message)


# -- HKDF-SHA256: the vault's keys (RFC 5869, appendix A) -------------------------------------

HKDF = {
    "A.1": (
        "0b" * 22, "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    "A.2": (
        bytes(range(80)).hex(), bytes(range(0x60, 0xB0)).hex(), bytes(range(0xB0, 0x100)).hex(),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    "A.3": (
        "0b" * 22, "", "",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
}  # fmt: skip


def hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    """RFC 5869, 2.2 and 2.3, written out."""
    key = hmac.digest(salt or bytes(32), secret, "sha256")
    out = block = b""
    while len(out) < length:
        block = hmac.digest(key, block + info + bytes([len(out) // 32 + 1]), "sha256")
        out += block
    return out[:length]


@pytest.mark.parametrize("name", HKDF)
def test_the_formula_of_rfc_5869_gives_its_vectors(name: str) -> None:
    secret, salt, info, out = (bytes.fromhex(part) for part in HKDF[name])
    assert hkdf(secret, salt, info, len(out)) == out


@pytest.mark.parametrize("name", HKDF)
@pytest.mark.parametrize("info", ["id", "seal predictions", "digest süd", ""])
def test_the_vault_derives_by_that_formula(name: str, info: str) -> None:
    secret, salt = (bytes.fromhex(part) for part in HKDF[name][:2])
    for length in (8, 32, 42, 82):
        expected = hkdf(secret, salt, b"covey vault " + info.encode(), length)
        assert vault._hkdf(secret, info, salt, length) == expected


# -- AES-256 in counter mode: the stream of noise (NIST SP 800-38A, F.5.5) --------------------

KEY = "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4"
COUNTER = "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"
PLAIN = (
    "6bc1bee22e409f96e93d7e117393172a" "ae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52ef" "f69f2445df4f9b17ad2b417be66c3710"
)  # fmt: skip
CIPHERTEXT = (
    "601ec313775789a5b7a7f504bbf3d228" "f443e3ca4d62b59aca84e990cacaf5c5"
    "2b0930daa23de94ce87017ba2d84988d" "dfc9c58db67aada613c2dd08457941a6"
)  # fmt: skip


def exclusive(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def test_the_stream_is_the_keystream_of_f_5_5(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the published counter in place of zero."""
    counter = modes.CTR(bytes.fromhex(COUNTER))
    monkeypatch.setattr(sys.modules[CipherStream.__module__], "modes", SimpleNamespace(CTR=lambda _: counter))
    stream = CipherStream(bytes.fromhex(KEY)).words(8).tobytes()
    assert stream == exclusive(bytes.fromhex(PLAIN), bytes.fromhex(CIPHERTEXT))


def test_the_stream_counts_from_zero_and_carries() -> None:
    """Block n is AES-256 of n, big-endian; the counter passes 2**16 here."""
    key, blocks = bytes.fromhex(KEY), 2**16 + 300
    counters = b"".join(number.to_bytes(16, "big") for number in range(blocks))
    expected = Cipher(algorithms.AES256(key), modes.ECB()).encryptor().update(counters)
    stream = CipherStream(key)
    drawn = np.concatenate([stream.words(2 * 300), stream.words(2 * 2**16)])
    assert drawn.tobytes() == expected


# -- AES-256-GCM: the vault (NIST SP 800-38D, CAVP) -------------------------------------------


def multiply(x: int, y: int) -> int:
    """SP 800-38D, algorithm 1: multiplication of blocks."""
    z = 0
    for bit in range(127, -1, -1):
        z ^= y * (x >> bit & 1)
        y = y >> 1 ^ 0xE1 << 120 if y & 1 else y >> 1
    return z


def open_gcm(key: bytes, nonce: bytes, ciphertext: bytes, tag: bytes, about: bytes) -> bytes:
    """SP 800-38D, algorithm 5, for nonces of 96 bits, written out on AES alone; raises `InvalidTag`."""

    def blocks(data: bytes) -> Iterator[int]:
        return (int.from_bytes(data[at : at + 16].ljust(16, b"\0"), "big") for at in range(0, len(data), 16))

    aes = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    hashed, subkey = 0, int.from_bytes(aes.update(bytes(16)), "big")
    lengths = len(about) << 67 | len(ciphertext) << 3
    for block in (*blocks(about), *blocks(ciphertext), lengths):
        hashed = multiply(hashed ^ block, subkey)
    pads = [aes.update(nonce + number.to_bytes(4, "big")) for number in range(1, 2 - (-len(ciphertext) // 16))]
    if exclusive(hashed.to_bytes(16, "big"), pads[0])[: len(tag)] != tag:
        raise InvalidTag
    return exclusive(ciphertext, b"".join(pads[1:])[: len(ciphertext)])


@pytest.mark.parametrize("number", range(45))
def test_aes_gcm_and_the_formula_of_sp_800_38d_give_the_vectors(number: int) -> None:
    vector = published("gcm")[number]
    names = ("key", "nonce", "ciphertext", "tag", "about")
    key, nonce, ciphertext, tag, about = (bytes.fromhex(vector[name]) for name in names)
    openers = (
        lambda: open_gcm(key, nonce, ciphertext, tag, about),
        lambda: AESGCM(key).decrypt(nonce, ciphertext + tag, about),
    )
    for opener in openers:
        if vector["plaintext"] is None:
            with pytest.raises(InvalidTag):
                opener()
        else:
            assert opener().hex() == vector["plaintext"]


@pytest.mark.parametrize("data", [b"", b"a row", bytes(range(256)) * 5], ids=len)
def test_what_the_vault_seals_opens_by_these_formulas_alone(data: bytes, tmp_path: Path) -> None:
    """Version, key's name, salt, nonce, ciphertext, tag; what a message is about is authenticated with the header."""
    keys, about = Vault(tmp_path / "vault.key"), "predictions/served/17"
    sealed = keys.seal(data, about=about)
    header, nonce, ciphertext, tag = sealed[:25], sealed[25:37], sealed[37:-16], sealed[-16:]
    master = keys._master
    assert master is not None
    assert header[1:9] == hkdf(master, b"", b"covey vault id", 8)
    key = hkdf(master, header[9:], b"covey vault seal predictions", 32)
    assert open_gcm(key, nonce, ciphertext, tag, header + about.encode()) == data
    with pytest.raises(SealError):
        keys.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), about=about)


# -- ECDSA with SHA-256: signed requests (FIPS 186, CAVP; RFC 6979, A.2.5 and A.2.6) ----------

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1()}
REQUEST = {"method": "POST", "path": "/v1/fleet/push-messages", "body": b"an update", "now": 1_800_000_000.0}


def headers(public: ec.EllipticCurvePublicKey, signature: bytes) -> dict[str, str]:
    return {
        signing.KEY: base64.b64encode(signing.public_key_bytes(public)).decode(),
        signing.SIGNATURE: base64.b64encode(signature).decode(),
        signing.NONCE: "nonce",
        signing.TIME: "1800000000",
    }


def signed_over(monkeypatch: pytest.MonkeyPatch, message: bytes) -> None:
    """Let a request say the published message instead of its own method, path and body."""
    monkeypatch.setattr(signing, "_statement", lambda *_: message)


@pytest.mark.parametrize("number", range(30))
def test_a_request_is_verified_as_fips_186_prints(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    vector = published("ecdsa")[number]
    x, y, r, s = (int(vector[name], 16) for name in ("x", "y", "r", "s"))
    signed_over(monkeypatch, bytes.fromhex(vector["message"]))
    public = ec.EllipticCurvePublicNumbers(x, y, CURVES[vector["curve"]]).public_key()
    sent = headers(public, encode_dss_signature(r, s))
    if vector["holds"]:
        assert signing.verify(sent, **REQUEST) == signing.public_key_bytes(public)
    else:
        with pytest.raises(WireError, match="does not match"):
            signing.verify(sent, **REQUEST)


RFC_6979 = {
    ("P-256", "sample"): (
        "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716",
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    ),
    ("P-256", "test"): (
        "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721",
        "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367",
        "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
    ),
    ("P-384", "sample"): (
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
        "21B13D1E013C7FA1392D03C5F99AF8B30C570C6F98D4EA8E354B63A21D3DAA33BDE1E888E63355D92FA2B3C36D8FB2CD",
        "F3AA443FB107745BF4BD77CB3891674632068A10CA67E3D45DB2266FA7D1FEEBEFDC63ECCD1AC42EC0CB8668A4FA0AB0",
    ),
    ("P-384", "test"): (
        "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5",
        "6D6DEFAC9AB64DABAFE36C6BF510352A4CC27001263638E5B16D9BB51D451559F918EEDAF2293BE5B475CC8F0188636B",
        "2D46F3BECBCC523D5F1A1256BF0C9B024D879BA9E838144C8BA6BAEB4B53B47D51AB373F9845C0514EEFB14024787265",
    ),
}


@pytest.mark.parametrize("name", RFC_6979, ids=" ".join)
def test_a_request_is_signed_as_rfc_6979_prints(name: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nonce that the RFC derives, where Covey's own is random."""
    curve, message = name
    secret, r, s = (int(part, 16) for part in RFC_6979[name])
    signed_over(monkeypatch, message.encode())
    monkeypatch.setattr(signing.ec, "ECDSA", partial(ec.ECDSA, deterministic_signing=True))
    sent = signing.sign(ec.derive_private_key(secret, CURVES[curve]), **REQUEST)
    assert base64.b64decode(sent[signing.SIGNATURE]) == encode_dss_signature(r, s)
    signing.verify(sent, **REQUEST)


ORDERS = {
    "P-256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "P-384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
}


def der(*numbers: int) -> bytes:
    """A sequence of integers, negative ones too, which no signature may hold."""
    parts = [number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True) for number in numbers]
    body = b"".join(b"\x02" + bytes([len(part)]) + part for part in parts)
    return b"\x30" + bytes([len(body)]) + body


def impossible(r: int, s: int, n: int) -> dict[str, bytes]:
    whole = der(r, s)
    return {
        "r is zero": der(0, s), "s is zero": der(r, 0), "both are zero": der(0, 0), "swapped": der(s, r),
        "r is the order": der(n, s), "s is the order": der(r, n), "r and the order": der(r + n, s),
        "s and the order": der(r, s + n), "r is negative": der(-r, s), "s is negative": der(r, -s),
        "r less the order": der(r - n, s), "three numbers": der(r, s, 1), "one number": der(r),
        "bytes behind it": whole + b"\0", "cut off": whole[:-1], "empty": b"",
        "no DER": r.to_bytes(48, "big") + s.to_bytes(48, "big"), "a length in the long form": b"\x30\x81" + whole[1:],
    }  # fmt: skip


CASES = tuple(impossible(1, 1, 1))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("curve", CURVES)
def test_a_signature_that_no_signer_makes_is_refused(curve: str, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    secret, r, s = (int(part, 16) for part in RFC_6979[curve, "sample"])
    signed_over(monkeypatch, b"sample")
    public = ec.derive_private_key(secret, CURVES[curve]).public_key()
    signing.verify(headers(public, der(r, s)), **REQUEST)
    with pytest.raises(WireError):
        signing.verify(headers(public, impossible(r, s, ORDERS[curve])[case]), **REQUEST)
