"""What is typed after `/` means one thing, says what is wrong by name, and reads back as it was written."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.tui.query import Query, Term, Value, matches, number_of, parse
from shared.errors import InputError

FIELDS = ("name", "state", "why", "version", "seen", "share")
ROW: dict[str, Value] = {
    "name": "EWR-B6", "state": "refused", "why": "battery, budget 2", "version": "v7", "seen": 300.0, "share": 12.5,
}  # fmt: skip


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "state:refused why:battery version:<8",
        "why:budget",
        "state:ref",
        "name:ewr",
        "STATE:Refused",
        "state:away,refused",
        "name~b6",
        "-state:away",
        '"battery, bud"',
        "ewr",
        "vers:>=7",
        "version:v7",
        "version:<=7 version:>6.5",
        "seen:5min",
        "seen:>4min seen:<1h",
        "share:>10%",
        "share:12.5",
    ],
)
def test_a_row_is_found_by(typed: str) -> None:
    assert matches(parse(typed, FIELDS), ROW)


@pytest.mark.parametrize(
    "typed",
    [
        "state:fused",
        "why:ttery",
        "state:refused2",
        "name~dl",
        "-why~batt",
        "version:<7",
        "seen:>5min",
        "nothing",
        "share:12",
    ],
)
def test_a_row_is_not_found_by(typed: str) -> None:
    assert not matches(parse(typed, FIELDS), ROW)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("stat~x sta:y s:z", "no field is called 's'; there are name, state"),
        ("stte:refused", "no field is called 'stte'; did you mean state?"),
        ("state:", "state: needs a value after it"),
        ("version:<soon", "version:<soon compares with 'soon', which is no number"),
        ('why:"battery', 'why:"battery has a quotation mark without its other'),
        ("-", "- needs a value after it"),
    ],
)
def test_what_is_wrong_is_said_by_its_name(typed: str, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        parse(typed, FIELDS)


WORDS = st.text(st.characters(exclude_characters='"', exclude_categories=["C", "Z"]), min_size=1, max_size=12)
NUMBERS = st.integers(0, 10**6).map(str)
TERMS = st.one_of(
    st.builds(lambda text, negated: Term(text=text, negated=negated), WORDS, st.booleans()),
    st.builds(
        lambda text, field, how, negated: Term(text=text, field=field, how=how, negated=negated),
        WORDS, st.sampled_from(FIELDS), st.sampled_from([":", "~"]), st.booleans(),
    ),
    st.builds(
        lambda text, field, how, negated: Term(text=text, field=field, how=how, negated=negated),
        NUMBERS, st.sampled_from(FIELDS), st.sampled_from([":<", ":<=", ":>", ":>="]), st.booleans(),
    ),
)  # fmt: skip
QUERIES = st.lists(TERMS, max_size=5).map(lambda terms: Query(terms=tuple(terms)))
VALUES = st.one_of(st.none(), WORDS, st.floats(allow_nan=False, allow_infinity=False))
ROWS = st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES))


@given(QUERIES)
def test_a_query_reads_back_as_it_was_written(query: Query) -> None:
    assert parse(str(query), FIELDS) == query


@given(st.text(max_size=60))
def test_whatever_is_typed_is_understood_or_refused_in_words(typed: str) -> None:
    with suppress(InputError):
        query = parse(typed, FIELDS)
        assert parse(str(query), FIELDS) == query


@given(QUERIES, TERMS, ROWS)
def test_a_further_term_never_finds_more_rows(query: Query, term: Term, row: dict[str, Value]) -> None:
    narrower = Query(terms=(*query.terms, term))
    assert matches(query, row) or not matches(narrower, row)


@given(TERMS, ROWS)
def test_a_minus_turns_a_term_round(term: Term, row: dict[str, Value]) -> None:
    turned = Term(text=term.text, field=term.field, how=term.how, negated=not term.negated)
    assert matches(Query(terms=(term,)), row) != matches(Query(terms=(turned,)), row)


@pytest.mark.parametrize(
    ("value", "number"),
    [("v7", 7), ("12 min", 720), ("14.2 kB", 14_200), ("ε 3.5 of 8", 3.5), ("12.5 %", 12.5), (4.0, 4), ("-", None)],
)
def test_numbers_are_read_out_of_what_is_shown(value: Value, number: float | None) -> None:
    assert number_of(value) == number
