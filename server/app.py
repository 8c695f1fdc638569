"""The ServerApp: Flower calls it with a grid; it looks up what the run is for and does it."""

from pathlib import Path

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.config import Federation
from server.evaluations import run_evaluation
from server.records import CampaignRequest, EvaluationRequest, Run, SurveyRequest
from server.rounds import run_campaign, stopped
from server.store import Store
from server.surveys import run_survey
from server.tracing import span
from shared import wire
from shared.errors import CoveyError

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Do the Covey run that `context.run_config` names, and record how it ended."""
    store = Store(Federation(Path(str(context.run_config["covey-home"]))).database, create=False)
    run = store.run(int(str(context.run_config["covey-run"])))
    try:
        conduct(grid, store, run)
    finally:
        store.close()


def conduct(grid: Grid, store: Store, run: Run) -> None:
    """Bring a run from `queued` to its end; a failure is kept with its reason and raised again."""
    if run.state == "queued":
        store.set_run_state(run.id, "running")
    try:
        with span("campaign" if run.kind == "train" else run.kind, run=run.id, task=run.task):
            _do(grid, store, run)
    except CoveyError as error:
        store.set_run_state(run.id, "failed", str(error))
        raise
    store.set_run_state(run.id, "stopped" if stopped(store, run.id) else "finished")


def _do(grid: Grid, store: Store, run: Run) -> None:
    if run.kind == "train":
        run_campaign(grid, store, run, wire.from_json(CampaignRequest, run.request.encode()))
    elif run.kind == "evaluate":
        run_evaluation(grid, store, run, wire.from_json(EvaluationRequest, run.request.encode()))
    else:
        run_survey(grid, store, run, wire.from_json(SurveyRequest, run.request.encode()))
