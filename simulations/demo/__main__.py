"""Run the whole story and print the report."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")

import numpy as np
from rich.console import Console

from server.evaluated import evaluated
from server.records import GateVerdict
from server.releases import signed_files
from server.store import Store
from shared import wire
from shared.endings import one_line
from shared.quantization import quantize
from simulations.demo import report as reports
from simulations.demo.months import APRIL, FIRST_HALF, MARCH, SPRING, SUMMER, WINTER
from simulations.demo.screen import Screen
from simulations.demo.stage import Stage
from simulations.demo.story import BUDGET, NAME, SMALL_BUDGET, Story
from simulations.demo.tables import show

DEFAULT_FOLDER = Path("demo")
DEFAULT_REPORT = Path("reports/demo.json")


def main() -> None:
    """Play the story in a folder, which is made anew, and write `reports/demo.json`."""
    parser = argparse.ArgumentParser(prog="python -m simulations.demo", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER, help="where the federation and the agents live")
    parser.add_argument("--report", type=Path, default=DEFAULT_REPORT, help="where the report goes, as JSON")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    console = Console()
    shutil.rmtree(folder, ignore_errors=True)
    started = time.monotonic()
    try:
        with Screen(console) as screen, Stage(folder) as stage:
            story = Story(stage, screen)
            tell(story)
            report = summarise(story, seconds=time.monotonic() - started)
    except KeyboardInterrupt:
        console.print("covey demo: interrupted; every process it started has ended", style="yellow")
        sys.exit(130)
    reports.write(report, arguments.report)
    show(report, console)
    console.print(
        f"\nThe same as JSON: {arguments.report}. `make tui` opens the terminal UI on what the demo left in {folder}/."
    )


def tell(story: Story) -> None:
    """Tell the chapters in order."""
    chapter = story.screen.chapter
    with chapter("data", "Data: 8 stations, January to March 2013"):
        story.gather_data()
    with chapter("federation", "Federation: keys, coordinator, signed task"):
        story.found_federation()
    with chapter("agents", "Agents: invite, join, approve, run"):
        story.enrol()
    with chapter("rounds", "Rounds: learn January and February"):
        first = story.campaign(WINTER)
    with chapter("evaluation", "Evaluation: the candidate on March, by noisy counts"):
        march = story.evaluate(first, MARCH)
    with chapter("release", "Release: gates, signature, canary, then everyone"):
        story.release(first)
    with chapter("halt", "Halt: a wrong file, signed past the gates"):
        story.mix_up(first - 1)
    with chapter("inference", "Inference: predict March on the devices, offline"):
        story.predict(MARCH, counted=march, central_learned=WINTER)
    with chapter("drift", "Drift: the release's own months, then March"):
        story.survey(WINTER, role="reference")
        story.survey(MARCH, role="current")
    story.months_pass(through=8)
    with chapter("evaluation", "Evaluation: the first release on July and August"):
        summer = story.evaluate(first, SUMMER)
    with chapter("inference", "Inference: the first release on July and August"):
        story.predict(SUMMER, counted=summer, central_learned=WINTER)
    with chapter("drift", "Drift: April, and what the policy makes of it"):
        alarmed = story.survey(APRIL, role="current")
    why = "the alarm" if alarmed else "the calendar, for there was no alarm"
    with chapter("retrain", f"Retrain: March to June, on {why}"):
        second = story.retrain(SPRING, base=first)
    with chapter("evaluation", "Evaluation: the second candidate on July and August"):
        summer = story.evaluate(second, SUMMER)
    with chapter("release", "Release: the second, in stages, over the first"):
        story.release(second)
    with chapter("inference", "Inference: the second release on July and August"):
        story.predict(SUMMER, counted=summer, central_learned=FIRST_HALF)


def summarise(story: Story, *, seconds: float) -> reports.DemoReport:
    """Collect what was seen from the coordinator's store, the devices' ledgers and the story."""
    store, looker = story.stage.store, story.looker
    spends = {device: looker.spent(device) for device in story.devices}
    return reports.DemoReport(
        devices=tuple(_device_line(story, device, spends[device]) for device in story.devices),
        rounds=tuple(reports.round_line(result) for result in store.rounds()),
        releases=tuple(story.releases),
        gates=tuple(_gates_lines(store)),
        fairness=reports.fairness_line(evaluated(store, store.evaluations(NAME)[-1], threshold=None)),
        rollouts=tuple(story.rollouts),
        policy=tuple(store.decisions(NAME)),
        privacy=reports.PrivacyLine(epsilon_max=max(spends.values()), delta=1e-5, budget_epsilon=BUDGET),
        onnx=_onnx(story.stage),
        latency_us={f"p{p}": round(float(np.percentile(looker.latencies, p)), 1) for p in (50, 99)},
        drift=tuple(reports.drift_line(survey) for survey in store.surveys(NAME) if survey.shifts),
        bytes_per_device_round=story.traffic,
        alarm_to_release_seconds=_from_alarm(story),
        seconds={name: round(value, 1) for name, value in (story.screen.seconds | {"total": seconds}).items()},
    )


def _gates_lines(store: Store) -> Iterator[reports.GatesLine]:
    """The gates of each release that met any."""
    for release in store.releases(NAME):
        if found := tuple(wire.decode(GateVerdict, row) for row in json.loads(store.gates(release.number))):
            yield reports.GatesLine(release=release.number, version=release.version, verdicts=found)


def _device_line(story: Story, device: str, spent: float) -> reports.DeviceLine:
    return reports.DeviceLine(
        name=device,
        pid=story.pids[device],
        directory=str(story.stage.agent(device).path),
        epsilon=spent,
        budget_epsilon=SMALL_BUDGET if device == story.devices[-1] else BUDGET,
    )


def _from_alarm(story: Story) -> float | None:
    """How long from the survey's alarm until nearly all devices reported the release that was learned on it."""
    if story.alarmed_at is None or story.arrived_at is None:
        return None
    return round(story.arrived_at - story.alarmed_at, 1)


def _onnx(stage: Stage) -> reports.OnnxLine:
    """Read the newest release's size, what a device makes of it, and what its gates found when it was promoted."""
    release = stage.store.releases(NAME)[-1]
    found = {gate["name"]: gate["found"] for gate in json.loads(stage.store.gates(release.number))}
    fp32 = signed_files(stage.federation, release)["fp32.onnx"]
    return reports.OnnxLine(
        fp32_bytes=release.artifacts["fp32"].bytes,
        int8_bytes=len(quantize(stage.store.task(NAME), fp32)),
        max_abs_diff=float(found["parity with torch"]),
        int8_max_abs_diff=float(found["int8 loss"]),
    )


if __name__ == "__main__":
    with one_line("covey demo"):
        main()
