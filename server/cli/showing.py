"""How `covey models` reads: a version's story in lines of name and words, two of them side by side, and the tree."""

from collections.abc import Iterator

from server.history import History
from server.metrics import auc, calibration_error, pr_auc, read
from server.modewords import HOLDS
from server.pedigree import Campaign, Offer, Pedigree
from server.records import EvaluationResult
from server.tree import Glyphs, Line
from shared.tasks import Task

Entry = tuple[str, str]


def entries(found: Pedigree, task: Task) -> Iterator[Entry]:
    """Everything about a version, a name and a text each, in the order in which it came about."""
    version, lineage = found.version, found.lineage
    yield "task", f"{version.task}, revision {version.revision}"
    yield "stage", version.stage
    yield "parent", f"version {version.parent}" if version.parent else "none: the task began with it"
    for campaign in found.campaigns:
        yield f"run {campaign.run_id}", _campaign(campaign)
    yield "spent", _spent(found)
    yield "contract", lineage.contract or "none declared" if lineage else "not written down"
    yield "code", lineage.code if lineage else "not written down: an older Covey made it"
    yield "weights", f"{version.weights_sha256}{', collected' if found.collected else ''}"
    yield "parameters", f"{found.parameters:,}"
    yield from _measured(found.evaluation, task)
    yield from _gates(found)
    for offer in found.offers:
        yield f"release {offer.release.number}", _offer(offer)
    if found.offers:
        yield "promoted by", (lineage.promoted_by if lineage else "") or "not written down"
        yield "command", (lineage.command if lineage else "") or "not written down"
    for role in found.signed:
        keys = ", ".join(key[:12] for key in role.keys) or "none that counts"
        yield f"signed: {role.role}", f"version {role.version}, until {role.expires}, keys {keys}"


def differing(one: list[Entry], other: list[Entry]) -> list[tuple[str, str, str]]:
    """What two stories do not share, name by name; `-` where only one of them has it."""
    left, right = dict(one), dict(other)
    names = dict.fromkeys([*left, *right])
    return [(name, left.get(name, "-"), right.get(name, "-")) for name in names if left.get(name) != right.get(name)]


def line_words(line: Line, history: History) -> str:
    """A line of the tree: which versions, of which run and rounds, and the releases among them."""
    first, last = line.members[0], line.members[-1]
    named = f"v{first.number}" if first is last else f"v{first.number} to v{last.number}"
    rounds = [version.round_number for version in line.members]
    released = [str(each.number) for each in history.releases if each.version in {v.number for v in line.members}]
    told = [
        f"{first.task}, revision {first.revision}, first weights" if not first.run_id else f"run {first.run_id}",
        _rounds(rounds) if first.run_id else "",
        f"release {', '.join(released)}" if released else "",
        "" if last.stage in ("candidate", "released") else last.stage,
        "weights collected" if {v.number for v in line.members} <= history.collected else "",
    ]
    return f"{named}  {', '.join(text for text in told if text)}"


def drawn(line: Line, history: History, glyphs: Glyphs) -> str:
    """One line of the tree as it is printed."""
    return f"{line.drawn(glyphs)} {line_words(line, history)}"


def _rounds(rounds: list[int]) -> str:
    return f"round {rounds[0]}" if len(rounds) == 1 else f"rounds {rounds[0]} to {rounds[-1]}"


def _campaign(campaign: Campaign) -> str:
    low, high = min(campaign.answered), max(campaign.answered)
    abandoned = f", {campaign.abandoned} abandoned" if campaign.abandoned else ""
    plan = f", plan {campaign.plan}" if campaign.plan else ""
    answered = f"{low}" if low == high else f"{low} to {high}"
    return (
        f"{campaign.mode}, rounds {campaign.first} to {campaign.last} ({campaign.committed} committed{abandoned}), "
        f"cohort {campaign.cohort} of which {answered} answered, {campaign.window}{plan}"
    )


def _spent(found: Pedigree) -> str:
    spend = found.spend
    if not found.campaigns:
        return "nothing: it learned from no rows"
    return f"epsilon at most {spend.epsilon:.3f} at delta {spend.delta:g}, {HOLDS[spend.trust]}"


def _measured(result: EvaluationResult | None, task: Task) -> Iterator[Entry]:
    if result is None:
        yield "evaluation", "none yet"
        return
    cells = read(result.cells, task, result.score_bins)
    yield "evaluation", f"run {result.run_id}, {result.devices} devices, {result.window}"
    for name, figure in (("AUC", auc), ("PR-AUC", pr_auc), ("calibration error", calibration_error)):
        yield name, str(figure(cells))


def _gates(found: Pedigree) -> Iterator[Entry]:
    if found.gating is None:
        yield "gates", f"not tested yet; `covey gate {found.version.number}` does"
        return
    for verdict in found.gating.verdicts:
        yield f"gate: {verdict.name}", f"{verdict.state}; expected {verdict.expected}, found {verdict.found}"


def _offer(offer: Offer) -> str:
    staged = (
        "staged, to no device yet" if offer.release.staged else f"to {offer.release.ceiling_bp / 100:g} % of devices"
    )
    if offer.rollout is None:
        return staged
    step = offer.rollout.rollout
    return f"{step.state} at {step.percent:g} % of devices: {offer.rollout.why}"
