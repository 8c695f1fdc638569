"""What the endpoint answers, route by route."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from client.inference import Predictor
from client.serving import arrow, metrics, questions
from client.serving.app import JSON, Answer, Problem, Request, Route
from client.serving.metrics import Counts
from client.serving.pool import Pool, Seat
from shared.errors import ReleaseError
from shared.models import Prediction

ARROW = arrow.MEDIA_TYPE.encode()


class Routes:
    """The handlers, and what they share."""

    def __init__(self, pool: Pool, counts: Counts) -> None:
        self._pool, self._counts = pool, counts

    def table(self) -> dict[str, Route]:
        """Each path; those that take a body are also found under /v1/tasks/NAME/."""
        return {
            "/v1/predict": Route(self.predict, takes=(JSON,)),
            "/v1/predict-many": Route(self.predict_many, takes=(JSON, ARROW)),
            "/v1/explain": Route(self.explain, takes=(JSON,)),
            "/v1/outcome": Route(self.outcome, takes=(JSON,)),
            "/v1/health": Route(self.health),
            "/v1/tasks": Route(self.tasks),
            "/v1/metrics": Route(self.metrics),
        }

    async def predict(self, request: Request) -> Answer:
        """One record; quick enough to be answered in place."""
        predictor, watch = request.seat.taken
        record = questions.read_record(request.body)
        try:
            prediction = predictor.predict(record)
        except ReleaseError as error:
            self._judge(request.seat, predictor, watch.had_none())
            raise Problem(500, str(error)) from None
        self._counts.answered(request.seat.name, prediction.latency_us)
        self._judge(request.seat, predictor, watch.answered(prediction.latency_us))
        return Answer(_as_json(prediction))

    async def predict_many(self, request: Request) -> Answer:
        """Many rows, in a thread, so that single records do not wait for them."""
        predictor, watch = request.seat.taken
        as_arrow = request.media_type == ARROW
        try:
            return await asyncio.to_thread(_answer_rows, predictor, request.body, as_arrow=as_arrow)
        except ReleaseError as error:
            self._judge(request.seat, predictor, watch.had_none())
            raise Problem(500, str(error)) from None

    async def explain(self, request: Request) -> Answer:
        """How much each column moved the answer."""
        predictor, _ = request.seat.taken
        record = questions.read_record(request.body)
        found = await asyncio.to_thread(predictor.explain, record)
        return _document({"release": predictor.release, "attributions": found})

    async def outcome(self, request: Request) -> Answer:
        """What became of a prediction; much later is fine."""
        told = questions.read_json(request.body)
        if told.keys() != {"id", "label"} or not all(isinstance(value, str) for value in told.values()):
            raise questions.NotUnderstood('the body must be {"id": ID, "label": CLASS}, both words')
        joined = await asyncio.to_thread(request.seat.predictor.outcome, told["id"], told["label"])
        return _document({**told, "joined": joined})

    async def health(self, _: Request) -> Answer:
        """Whether every task has a release that answers."""
        waiting = sorted(seat.name for seat in self._pool.seats.values() if seat.answering is None)
        document = {"ready": not waiting, "waiting": waiting}
        return _document(document, status=503 if waiting else 200)

    async def tasks(self, _: Request) -> Answer:
        """The tasks, which release answers for each, and what a record holds."""
        return _document({"tasks": [_described(seat) for seat in self._pool.seats.values()]})

    async def metrics(self, _: Request) -> Answer:
        """Counts for Prometheus."""
        return Answer(metrics.text(self._counts, self._pool), metrics.TEXT.encode())

    def _judge(self, seat: Seat, predictor: Predictor, reason: str | None) -> None:
        if reason is not None:
            self._pool.give_up(seat, predictor.release, reason)


def _answer_rows(predictor: Predictor, body: bytes, *, as_arrow: bool) -> Answer:
    task = predictor.task
    columns = questions.read_rows(body, task, as_arrow=as_arrow)
    predictions = predictor.predict_rows(columns)
    if as_arrow:
        return Answer(arrow.write_predictions(predictions, task.label.classes), ARROW)
    return _document({"predictions": [asdict(one) for one in predictions]})


def _described(seat: Seat) -> dict[str, Any]:
    if seat.answering is None:
        return {"task": seat.name, "release": 0}
    predictor = seat.predictor
    task = predictor.task
    return {
        "task": seat.name, "release": predictor.release, "model_version": predictor.version,
        "numbers": task.numbers, "texts": task.texts, "classes": task.label.classes,
    }  # fmt: skip


def _as_json(prediction: Prediction) -> bytes:
    return _encode({
        "id": prediction.id, "label": prediction.label, "scores": prediction.scores, "release": prediction.release,
        "model_version": prediction.model_version, "latency_us": prediction.latency_us,
    }).encode()  # fmt: skip


def _document(content: Mapping[str, object], *, status: int = 200) -> Answer:
    return Answer(_encode(content).encode(), status=status)


_encode = json.JSONEncoder(allow_nan=False).encode
