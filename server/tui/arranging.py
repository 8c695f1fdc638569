"""Which of a listing's items are shown, in which order: found in turns, so that keys are drawn between two of them."""

import asyncio
import re
from collections.abc import Generator, Sequence
from operator import itemgetter
from typing import Any

from server.tui.listing import Listing, Order
from server.tui.query import Query, Value, matches

TURN = 200
"""So many items are looked at in one turn: a few milliseconds."""
Work = Generator[None, None, Sequence[Any]]
"""Arranges, and stops after each turn."""
Rank = tuple[tuple[int, float, str], ...]


def arranging(listing: Listing, query: Query, order: Order) -> Work:
    """The items that the query finds, in the order asked for; equal ones stay as they were."""
    found = listing.items
    if query.terms:
        found = yield from _matching(listing, query)
    if order.name:
        found = yield from _ordered(found, listing, order)
    return found


def at_once(work: Work) -> Sequence[Any]:
    """What comes of it, without a pause."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value


async def in_turns(work: Work) -> Sequence[Any]:
    """What comes of it, while others have their turns too."""
    while True:
        try:
            next(work)
        except StopIteration as done:
            return done.value
        await asyncio.sleep(0)


def _matching(listing: Listing, query: Query) -> Generator[None, None, list[Any]]:
    found: list[Any] = []
    for turn in _turns(listing.items):
        found += [item for item in turn if matches(query, listing.fields(item))]
        yield
    return found


def _ordered(items: Sequence[Any], listing: Listing, order: Order) -> Generator[None, None, list[Any]]:
    """What says nothing in the field comes last, whichever way the order goes."""
    present: list[tuple[Rank, Any]] = []
    absent: list[Any] = []
    for turn in _turns(items):
        for item in turn:
            value = listing.fields(item).get(order.name)
            if value in (None, ""):
                absent.append(item)
            else:
                present.append((rank(value), item))
        yield
    present.sort(key=itemgetter(0), reverse=order.falling)
    return [*(item for _, item in present), *absent]


def _turns(items: Sequence[Any]) -> Generator[Sequence[Any]]:
    return (items[start : start + TURN] for start in range(0, len(items), TURN))


def rank(value: Value) -> Rank:
    """What a value is ordered by: numbers before words, and numbers within words as numbers (`v9` before `v10`)."""
    if not isinstance(value, str):
        return ((0, value or 0.0, ""),)
    return tuple(
        (0, float(part), "") if part.isdecimal() else (1, 0.0, part.casefold())
        for part in re.split(r"(\d+)", value)
        if part
    )
