"""How much each raw column moved an answer: a graph that was built beside the release, asked on this device only."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.errors import ReleaseError
from shared.feeds import SCORES, Feeds
from shared.runtime import open_model
from shared.tasks import Task

ATTRIBUTIONS = "attributions"
"""What the graph gives beside the scores: float32 of shape `(rows, columns)`, `task.numbers` before `task.texts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What each raw column added to the probability of `label`, the likeliest class, or took from it."""

    label: str
    shares: dict[str, float]


class Explainer:
    """Explains answers of one release; safe to use from several threads."""

    def __init__(self, task: Task, graph: bytes) -> None:
        """`graph` is what `client/attributiongraph.py` built; raise `ReleaseError` if it does not open."""
        self._columns, self._classes = (*task.numbers, *task.texts), task.label.classes
        self._session: Any = open_model(graph)

    def explain(self, feeds: Feeds) -> dict[str, float]:
        """The shares of `attribute` alone."""
        return self.attribute(feeds).shares

    def attribute(self, feeds: Feeds) -> Explanation:
        """Explain the answer for one record; `feeds` holds one row, as `shared/feeds.py` makes it.

        The shares sum to the class's probability less the one for a record in which everything is missing. Raise
        `ReleaseError` if there is no finite answer.
        """
        try:
            shares, scores = (table[0] for table in self._session.run([ATTRIBUTIONS, SCORES], feeds))
        except Exception as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise ReleaseError(f"the explanation does not answer: {first}") from error
        if not np.isfinite(shares).all():
            raise ReleaseError("this answer cannot be explained: an attribution is not finite")
        named = dict(zip(self._columns, shares.tolist(), strict=True))
        return Explanation(label=self._classes[int(scores.argmax())], shares=named)
