"""The primitives under secure aggregation agree with their standards' own vectors, and our use of them with the text."""

import hmac
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.secagg import masks

h = bytes.fromhex

ALICE = h("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
BOB = h("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")


@pytest.mark.parametrize(
    ("scalar", "point", "product"),
    [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ],
)
def test_x25519_of_rfc_7748_section_5_2(scalar: str, point: bytes, product: str) -> None:
    assert masks.agree(h(scalar), h(point)) == [h(product)]


def test_x25519_of_rfc_7748_section_6_1() -> None:
    assert masks.public_key(ALICE) == h("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert masks.public_key(BOB) == h("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
    shared = h("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert masks.agree(ALICE, masks.public_key(BOB)) == masks.agree(BOB, masks.public_key(ALICE)) == [shared]


@pytest.mark.parametrize("point", [bytes(32), b"\1" + bytes(31)])
def test_points_of_small_order_are_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match="shared key"):
        masks.agree(ALICE, point)


def test_a_clamped_key_is_the_same_key() -> None:
    key = masks.new_key()
    assert key[0] % 8 == 0
    assert key[31] & 0b11000000 == 0b01000000
    assert masks.public_key(key) == masks.public_key(bytes([key[0] | 7]) + key[1:31] + bytes([key[31] | 128]))


@pytest.mark.parametrize(
    ("salt", "info", "key"),
    [
        (
            "000102030405060708090a0b0c", "f0f1f2f3f4f5f6f7f8f9",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        ("", "", "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"),
    ],
)  # fmt: skip
def test_hkdf_of_rfc_5869_cases_1_and_3(salt: str, info: str, key: str) -> None:
    assert HKDF(hashes.SHA256(), 42, h(salt) or None, h(info)).derive(b"\x0b" * 22) == h(key)


def test_a_derived_key_is_hkdf_over_the_parts_with_their_lengths() -> None:
    info = b"\0\x0fcovey secagg v1" + b"\0\4pair" + b"\0\2xy"
    extracted = hmac.digest(bytes(32), b"secret", "sha256")
    assert masks.derive(b"secret", b"pair", b"xy") == hmac.digest(extracted, info + b"\1", "sha256")
    assert masks.derive(b"secret", b"pai", b"rxy") != masks.derive(b"secret", b"pair", b"xy")


KEY = h("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")


def test_aes_256_ctr_of_sp_800_38a_f_5_5() -> None:
    plain = h(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    counter = modes.CTR(h("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff"))
    assert Cipher(algorithms.AES256(KEY), counter).encryptor().update(plain) == h(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )


@pytest.mark.parametrize("kind", [np.uint32, np.uint64])
def test_a_mask_is_the_encrypted_counter_from_zero(kind: type[np.unsignedinteger[Any]]) -> None:
    vector = np.zeros(40_000, dtype=kind)
    masks.apply(vector, [masks.Mask(key=KEY, add=True)])
    counters = b"".join(block.to_bytes(16, "big") for block in range(vector.nbytes // 16))
    blocks = Cipher(algorithms.AES256(KEY), modes.ECB()).encryptor().update(counters)
    assert vector.tobytes() == blocks


@pytest.mark.parametrize(
    ("key", "nonce", "plain", "extra", "sealed"),
    [
        ("00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
        ("00" * 32, "00" * 12, "00" * 16, "", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
        (
            "feffe9928665731c6d6a8f9467308308" * 2, "cafebabefacedbaddecaf888",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
        ),
    ],
)  # fmt: skip
def test_aes_256_gcm_of_nist_cases_13_14_and_16(key: str, nonce: str, plain: str, extra: str, sealed: str) -> None:
    assert AESGCM(h(key)).encrypt(h(nonce), h(plain), h(extra)) == h(sealed)


def test_a_sealed_share_opens_for_its_receiver_its_sender_and_its_cohort_only() -> None:
    sealed = masks.seal(b"k" * 32, b"share", bound=b"cohort", sender="a", receiver="b")
    opened = {"bound": b"cohort", "sender": "a", "receiver": "b"}
    assert masks.unseal(b"k" * 32, sealed, **opened) == b"share"
    for change in ({"bound": b"other"}, {"sender": "b", "receiver": "a"}, {"receiver": "c"}):
        assert masks.unseal(b"k" * 32, sealed, **{**opened, **change}) is None
    assert masks.unseal(b"l" * 32, sealed, **opened) is None
    assert masks.unseal(b"k" * 32, sealed[:-1] + bytes([sealed[-1] ^ 1]), **opened) is None
