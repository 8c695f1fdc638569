"""Releases that reach a fleet in stages: signed for real, and told to one device."""

from dataclasses import replace

from releasing import Works, some_weights

from server.export import export
from server.releases import publish_release
from server.rollout_role import publish_rollout, signed_rollout
from shared import wire
from shared.models import Release
from shared.quantization import RECIPE
from shared.reference import make_reference
from shared.rollout import WHOLE, Rollout, RolloutState, draw
from shared.runtime import open_model
from shared.tasks import Task

DEVICE = "press"


def stage(works: Works, seed: int, *, fallback: int, ceiling_bp: int = WHOLE, task: Task | None = None) -> Release:
    """Sign a staged release that gives way to `fallback`; `task` is what stands in it, the works' own by default."""
    weights, version = some_weights(works.task, seed=seed), works.add_version(seed)
    fp32 = export(works.task, weights, version=version)
    draft = replace(
        works.draft(version), staged=True, fallback=fallback, ceiling_bp=ceiling_bp, recipe=RECIPE,
        reference=make_reference(works.task, open_model(fp32), seed=version),
    )  # fmt: skip
    files = {"fp32.onnx": fp32, "task.json": wire.to_json(task or works.task)}
    return publish_release(works.federation, draft, files)


def roll(
    works: Works, release: Release, share_bp: int = 0, *, shadow_bp: int = 0, state: RolloutState = "rolling"
) -> Rollout:
    """Sign the next document about a release."""
    before = signed_rollout(works.federation, works.task.name)
    return publish_rollout(
        works.federation,
        Rollout(
            number=before.number + 1 if before else 1, task=works.task.name, release=release.number,
            share_bp=share_bp, shadow_bp=shadow_bp, state=state,
        ),
    )  # fmt: skip


def just_in(release: Release) -> int:
    """The smallest share that this device is in."""
    return draw(release, DEVICE) + 1


def here(works: Works) -> set[str]:
    """The releases that lie where one may answer."""
    return {path.name for path in works.place.releases.iterdir() if path.name.isdigit()}
