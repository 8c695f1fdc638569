"""Explains predictions that were served earlier, by the release that gave them; loads ONNX Runtime when first asked."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from client.config import TaskHome
from client.served import Served
from shared.errors import CoveyError, ReleaseError

if TYPE_CHECKING:
    from client.attributions import Explainer
    from client.prepare import Preparer

KEPT = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How much each raw column moved the answer for `label`; or why nobody can say."""

    label: str = ""
    shares: dict[str, float] = field(default_factory=dict[str, float])
    why: str = ""


class Explanations:
    """Remembers the last ones; used from one thread at a time."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._known: dict[tuple[str, str], Explained] = {}
        self._explainers: dict[tuple[str, int], tuple[Preparer, Explainer] | str] = {}

    def known(self, place: TaskHome, one: Served) -> Explained | None:
        """What was worked out before."""
        return self._known.get((place.name, one.id))

    def work_out(self, place: TaskHome, one: Served) -> Explained:
        """Explain a prediction, or say why not."""
        found = self._explain(place, one)
        while len(self._known) >= KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[place.name, one.id] = found
        return found

    def forget_failures(self) -> None:
        """What could not be explained before may be now: an update builds explanations, too."""
        self._known = {key: found for key, found in self._known.items() if not found.why}
        self._explainers = {key: opened for key, opened in self._explainers.items() if not isinstance(opened, str)}

    def _explain(self, place: TaskHome, one: Served) -> Explained:
        key = (place.name, one.release)
        if key not in self._explainers:
            self._explainers[key] = _open(place, one.release)
        opened = self._explainers[key]
        if isinstance(opened, str):
            return Explained(why=opened)
        preparer, explainer = opened
        try:
            answer = explainer.attribute(preparer.table({name: [value] for name, value in one.record.items()}))
        except CoveyError as error:
            return Explained(why=str(error))
        return Explained(label=answer.label, shares=answer.shares)


def _open(place: TaskHome, release: int) -> "tuple[Preparer, Explainer] | str":
    """What explains a release, or why nothing does."""
    from client.attributions import Explainer
    from client.installed import read_explanation, read_release
    from client.prepare import Preparer

    directory = place.releases / str(release)
    if not directory.is_dir():
        return f"release {release}, which answered this, is not kept here any more"
    try:
        installed = read_release(directory)
        graph = read_explanation(installed)
        if graph is None:
            return f"release {release} has no explanation here yet; the next update builds it"
        return Preparer(installed.task), Explainer(installed.task, graph)
    except ReleaseError as error:
        return str(error)
