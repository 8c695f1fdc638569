"""What an operator types for compression and aggregation becomes what a plan says, or is refused by name."""

import pytest
from machines import small_task

from server.planning import overridden
from shared.aggregation import Aggregation
from shared.compression import Compression
from shared.errors import InputError

TRAINING = small_task().training


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("int8", Compression(kind="int8")),
        ("eden:3", Compression(kind="eden", bits=3)),
        ("eden:1+feedback", Compression(kind="eden", bits=1, feedback=True)),
        ("rand-k:0.125", Compression(kind="rand-k", fraction=0.125)),
    ],
)
def test_a_compression_is_read(text: str, expected: Compression) -> None:
    assert overridden(TRAINING, [f"compression={text}"], rounds=None).compression == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("median:1", Aggregation(kind="median", assumed_byzantine=1)),
        ("norm-bound", Aggregation(kind="norm-bound")),
        ("trimmed-mean:2+by-owner", Aggregation(kind="trimmed-mean", assumed_byzantine=2, by_owner=True)),
        ("mean+by-owner", Aggregation(kind="mean", by_owner=True)),
    ],
)
def test_an_aggregation_is_read(text: str, expected: Aggregation) -> None:
    assert overridden(TRAINING, [f"aggregation={text}"], rounds=None).aggregation == expected


@pytest.mark.parametrize(
    "text",
    [
        "compression=zip", "compression=eden", "compression=eden:x", "compression=eden:9", "compression=int8:3",
        "compression=int8+feedback", "compression=eden:2+often", "aggregation=vote", "aggregation=median:x",
        "aggregation=median:1+twice", "aggregation=mean:1",
    ],
)  # fmt: skip
def test_what_is_none_is_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match=text.partition("=")[0]):
        overridden(TRAINING, [text], rounds=None)
