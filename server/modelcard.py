"""A version's model card in Markdown: what it is for, what it learned from, how good it is, for whom, and where it ends.

The headings are those of Mitchell et al. (2019), "Model Cards for Model Reporting". No device is named: a card travels
with the model to everyone who may ask it. Equal pedigrees give equal cards.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from server import fairness, metrics
from server.estimates import CONFIDENCE, Estimate
from server.gates.accuracy import ALERT_RATE
from server.metrics import Cells
from server.pedigree import Pedigree
from server.records import EvaluationResult
from shared.privacy import TRUST
from shared.tasks import Task

MOST_BYTES = 4096
"""What a card inside a model may weigh; a longer one is cut at a line, and says so."""

MOST_GROUPS = 12
CUT = "\n(cut here; `covey models card` prints all of it)\n"


def card(found: Pedigree, task: Task) -> str:
    """All that there is to say of a version now."""
    return "\n".join(_lines(found, task)) + "\n"


def inside(found: Pedigree, task: Task) -> str:
    """The card that a model carries: without what is only known once that very file was tested and signed."""
    text = card(replace(found, gating=None, offers=(), signed=()), task)
    if len(text.encode()) <= MOST_BYTES:
        return text
    short = text.encode()[: MOST_BYTES - len(CUT.encode())].decode(errors="ignore")
    return short.rpartition("\n")[0] + CUT


def _lines(found: Pedigree, task: Task) -> Iterator[str]:
    yield f"# {task.name}, version {found.version.number}"
    yield from _part("Model", _model(found, task))
    yield from _part("Intended use", _use(task))
    yield from _part("Training data", _data(found, task))
    yield from _part("Evaluation", _evaluation(found.evaluation, task))
    yield from _part("Fairness", _fairness(found.evaluation, task))
    yield from _part("Privacy", _privacy(found))
    yield from _part("Gates", _gates(found))
    yield from _part("Releases", _releases(found))
    yield from _part("Limits", _limits(found, task))


def _part(title: str, lines: Iterator[str]) -> Iterator[str]:
    """A heading and its lines; nothing where there are none."""
    found = list(lines)
    if found:
        yield from ("", f"## {title}", "", *(f"- {line}" for line in found))


def _model(found: Pedigree, task: Task) -> Iterator[str]:
    layers = f", hidden layers of {', '.join(map(str, task.architecture.hidden))}" if task.architecture.hidden else ""
    yield f"{task.architecture.kind} network{layers}: {found.parameters:,} parameters, {len(task.features)} features"
    made = datetime.fromtimestamp(found.version.created_at, UTC)
    yield f"revision {task.revision} of the task, made {made:%Y-%m-%d}" + (
        f" by {found.lineage.code}" if found.lineage else ""
    )
    yield f"weights SHA-256 {found.version.weights_sha256}"


def _use(task: Task) -> Iterator[str]:
    yield _plain(task.title)
    yield f"answers one of: {', '.join(_plain(name) for name in task.label.classes)}"
    yield "made for the records that the task's features and contract describe; other uses were not tried"


def _data(found: Pedigree, task: Task) -> Iterator[str]:
    if not found.campaigns:
        yield "none: these are the weights that the task began with"
        return
    for campaign in found.campaigns[:5]:
        low, high = campaign.answered
        devices = f"{low} to {high} devices'" if low < high else f"{high} device's" if high == 1 else f"{high} devices'"
        yield f"run {campaign.run_id}: {campaign.committed} rounds, each of {devices} own rows, {campaign.window}"
    if (more := len(found.campaigns) - 5) > 0:
        yield f"{more} earlier {'run' if more == 1 else 'runs'} before these"
    yield f"columns: {', '.join(dict.fromkeys(_plain(feature.name) for feature in task.features))}"
    yield f"outcome: {_plain(task.label.column)}; rows never left their devices"


def _evaluation(result: EvaluationResult | None, task: Task) -> Iterator[str]:
    if result is None:
        yield "none yet"
        return
    cells, rate, sure = metrics.read(result.cells, task, result.score_bins), *_terms(task)
    yield f"{result.devices} devices, {result.window}, noisy counts, bounds at {sure:.0%}"
    yield f"AUC {_figure(metrics.auc(cells, sure))}"
    yield f"PR-AUC {_figure(metrics.pr_auc(cells, sure))}"
    yield f"recall at {rate:.0%} alerts {_figure(metrics.recall(cells, rate, sure))}"
    yield f"calibration error {_figure(metrics.calibration_error(cells, sure))}"


def _fairness(result: EvaluationResult | None, task: Task) -> Iterator[str]:
    if not task.groups:
        yield "the task declares no groups, so none were told apart"
        return
    yield f"groups by {', '.join(_plain(name) for name in task.groups)}"
    if result is None:
        yield "not evaluated yet"
        return
    cells = metrics.read(result.cells, task, result.score_bins)
    rate, sure = _terms(task)
    gap = fairness.parity_difference(cells, metrics.threshold_at(cells, rate), sure)
    yield f"alert rate gap {_figure(gap.estimate)}, AUC gap {_figure(fairness.auc_gap(cells, sure).estimate)}"
    yield from _by_group(cells, sure)


def _by_group(cells: Cells, sure: float) -> Iterator[str]:
    found = [(name, metrics.auc(cells.of(place), sure)) for place, name in enumerate(cells.groups)]
    told = [(name, auc) for name, auc in found if auc.tells]
    for name, auc in told[:MOST_GROUPS]:
        yield f"{_plain(name)}: AUC {_figure(auc)}"
    if rest := len(found) - len(told[:MOST_GROUPS]):
        yield f"{rest} more {'group' if rest == 1 else 'groups'}, too small to tell or not shown"


def _privacy(found: Pedigree) -> Iterator[str]:
    spend = found.spend
    if not found.campaigns:
        yield "nothing was learned from anyone's rows"
        return
    yield f"epsilon at most {spend.epsilon:.3f} at delta {spend.delta:g} for one row of one device, {TRUST[spend.trust]}"
    yield f"modes: {', '.join(dict.fromkeys(campaign.mode for campaign in found.campaigns))}"


def _gates(found: Pedigree) -> Iterator[str]:
    for verdict in found.gating.verdicts if found.gating else ():
        yield f"{verdict.name}: {verdict.state}; expected {verdict.expected}, found {_plain(verdict.found)}"


def _releases(found: Pedigree) -> Iterator[str]:
    for offer in found.offers:
        far = f", {offer.rollout.rollout.state} at {offer.rollout.rollout.percent:g} %" if offer.rollout else ""
        yield f"release {offer.release.number}, signed {datetime.fromtimestamp(offer.release.published_at, UTC):%Y-%m-%d}{far}"


def _limits(found: Pedigree, task: Task) -> Iterator[str]:
    yield "a record unlike the training data gets an answer too; the task's contract says which are refused"
    yield "figures are of rows held out on the devices, of their time; drift is surveyed, not excluded"
    yield "deleting a device's data does not make the model forget it; the epsilon above bounds what it may tell"
    if found.evaluation is None:
        yield "nobody has measured how good these weights are"
    if not task.groups:
        yield "whether it serves groups unevenly is not known"


def _terms(task: Task) -> tuple[float, float]:
    return task.gates.alert_rate or ALERT_RATE, task.gates.confidence or CONFIDENCE


def _figure(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f} to {estimate.high:.3f})" if estimate.tells else "cannot tell"


def _plain(text: str) -> str:
    """A text of the task's on one line, without what Markdown would take for more than words."""
    return " ".join(text.split()).translate({ord(mark): f"\\{mark}" for mark in "\\`*_[]<>#|"})
