"""Whatever the update, it comes back in its shape and in bounds; whatever the bytes, they are an update or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from shared.compression import Compression, Noised, decode, encode, growth, most_bytes
from shared.errors import WireError
from shared.noise import CipherStream
from shared.privacy import Cost, SampledGaussian

PAID = Cost(record=(SampledGaussian(noise_multiplier=1.0, sample_rate=1.0, steps=1),))

specs = st.one_of(
    st.just(Compression(kind="int8")),
    st.builds(Compression, kind=st.just("eden"), bits=st.integers(1, 4), feedback=st.booleans()),
    st.builds(Compression, kind=st.just("rand-k"), fraction=st.floats(0.001, 1.0), feedback=st.booleans()),
)
updates = st.integers(1, 300).flatmap(
    lambda size: arrays(np.float32, size, elements=st.floats(-(2.0**90), 2.0**90, width=32))
)


@settings(max_examples=200, deadline=None)
@given(update=updates, spec=specs, seed=st.binary(max_size=40), key=st.binary(min_size=32, max_size=32))
def test_what_was_encoded_comes_back_in_shape_and_in_bounds(
    update: np.ndarray, spec: Compression, seed: bytes, key: bytes
) -> None:
    data = encode(Noised(values=update, cost=PAID), spec, seed=seed, words=CipherStream(key).words)
    found = decode(data, spec, size=len(update), seed=seed)
    assert found.shape == update.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert len(data) <= most_bytes(spec, len(update))
    longest = growth(spec, len(update)) * np.linalg.norm(update.astype(np.float64))
    assert np.linalg.norm(found.astype(np.float64)) <= longest * (1 + 1e-4) + 1e-37


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=200), spec=specs, size=st.integers(1, 300), seed=st.binary(max_size=8))
def test_any_bytes_are_an_update_or_are_refused(data: bytes, spec: Compression, size: int, seed: bytes) -> None:
    try:
        found = decode(data, spec, size=size, seed=seed)
    except WireError:
        return
    assert found.shape == (size,)
    assert np.isfinite(found).all()


@settings(max_examples=200, deadline=None)
@given(spec=specs, size=st.integers(1, 200), data=st.data())
def test_any_bytes_of_the_right_length_are_a_finite_update_or_are_refused(
    spec: Compression, size: int, data: st.DataObject
) -> None:
    marked = encode(
        Noised(values=np.ones(size, np.float32), cost=PAID), spec, seed=b"", words=CipherStream(bytes(32)).words
    )
    mark = b"" if spec.kind == "int8" else marked[:2]
    length = most_bytes(spec, size) - len(mark)
    body = mark + data.draw(st.binary(min_size=length, max_size=length))
    try:
        found = decode(body, spec, size=size, seed=b"")
    except WireError:
        return
    assert found.shape == (size,)
    assert np.isfinite(found).all()


@settings(max_examples=200, deadline=None)
@given(spec=specs, extra=st.binary(min_size=1, max_size=4))
def test_nothing_may_follow_an_update(spec: Compression, extra: bytes) -> None:
    update = np.arange(-60, 58, dtype=np.float32)
    body = encode(Noised(values=update, cost=PAID), spec, seed=b"", words=CipherStream(bytes(32)).words)
    with pytest.raises(WireError):
        decode(body + extra, spec, size=118, seed=b"")
