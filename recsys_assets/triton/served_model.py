"""The Triton model `pipeline`: Triton's requests in, slates out, the log and metrics beside it.

Runs in Triton's Python stub only, which provides `triton_python_backend_utils`. All requests that
Triton's dynamic batcher hands over together are one batch for the pipeline.
"""

import gc
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.models.device import Device
from recsys_assets.pipeline.available_items import AvailableItems
from recsys_assets.pipeline.item_changes import ItemChanges
from recsys_assets.pipeline.item_follower import ItemFollower
from recsys_assets.pipeline.pipeline import NEVER, Effort, Pipeline, Slates
from recsys_assets.pipeline.rank import Ranking
from recsys_assets.pipeline.request_log import Answer, LogWriter, connect, is_probe, new_request_id
from recsys_assets.pipeline.requests import InvalidRequest, Requests
from recsys_assets.pipeline.shedding import Shedder
from recsys_assets.pipeline.shown_items import ShownItems
from recsys_assets.settings import load_settings
from recsys_assets.triton.stub_metrics import StubMetrics

_INPUTS = ("user_id", "device", "timestamp", "k")
_WARM_UP_TIME = 1_500_000_000
_WARM_UP_BATCHES = 20
_WARM_UP_ROWS = (1, 8)
_STATES_SECONDS = 10.0  # for the states of all items, before the first request
# The log's thread must not hold the interpreter for its usual 5 ms while a batch waits.
_SWITCH_SECONDS = 0.0005


@dataclass(frozen=True)
class TritonRequest:
    """One Triton request: its rows, its id, and until when an answer is of use (epoch seconds)."""

    requests: Requests
    request_id: str
    deadline: float


class PipelineModel(ABC):
    """A Triton model around the pipeline of one release."""

    @staticmethod
    @abstractmethod
    def load(folder: Path, device: Device) -> Pipeline:
        """The pipeline of the release in `folder`; `model.py` says which."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the release from the version folder, whose name is its number, and warms up."""
        import triton_python_backend_utils as backend

        self._backend = backend
        self._release = int(args["model_version"])
        settings = load_settings()
        folder = Path(args["model_repository"]) / args["model_version"]
        self._pipeline = self.load(folder, Device.of_instance(args))
        ids = self._pipeline.item_ids
        self._item_ids = np.array([item.encode() for item in ids], dtype=object)
        store = connect(settings.online_store_url)
        items = AvailableItems(ids)
        self._follower = ItemFollower(ItemChanges(store), items)
        self._follower.start(_STATES_SECONDS)
        self._pipeline.retrieve.availability = items
        first = [(float(rows), _warm_up(self._pipeline, rows)) for rows in _WARM_UP_ROWS]
        self._shedder = Shedder(settings.batch_budget_ms / 1000, first)
        self._metrics = StubMetrics(
            backend,
            args["model_version"],
            args["model_instance_name"],
            self._follower.state,
        )
        remember = None
        if settings.shown_hours:
            remember = ShownItems(store, settings.shown_hours).remember_answers(ids)
        self._log = LogWriter(
            store, most_uncollected=settings.uncollected_answers, remember=remember
        )
        sys.setswitchinterval(_SWITCH_SECONDS)
        # What a release holds lives as long as the process: the collector need not look at it.
        gc.collect()
        gc.freeze()

    def finalize(self) -> None:
        """Sends what the log still holds; Triton calls it before the process ends."""
        self._log.close()
        self._follower.close()

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; a bad request gets an error and harms no other."""
        responses: list[Any] = [None] * len(requests)
        asked: dict[int, TritonRequest] = {}
        for number, request in enumerate(requests):
            try:
                asked[number] = self._read(request)
            except InvalidRequest as error:
                responses[number] = self._refusal(str(error), "INVALID_ARG")
        if asked:
            together = self._answer(list(asked.values()))
            for number, response in zip(asked, together, strict=True):
                responses[number] = response
        return responses

    def _read(self, request: Any) -> TritonRequest:
        backend = self._backend
        inputs = {
            name: backend.get_input_tensor_by_name(request, name).as_numpy() for name in _INPUTS
        }
        parameters = json.loads(request.parameters() or "{}")
        deadline, budget = parameters.get("deadline_ms"), parameters.get("search_budget", "")
        if budget and budget not in self._pipeline.retrieve.budgets:
            known = ", ".join(sorted(self._pipeline.retrieve.budgets))
            raise InvalidRequest(f"search_budget is {budget!r}: choose one of {known}")
        return TritonRequest(
            Requests.of(inputs, budget),
            request.request_id() or new_request_id(),
            NEVER if deadline is None else deadline / 1000,
        )

    def _answer(self, asked: Sequence[TritonRequest]) -> list[Any]:
        batch = Requests.together([one.requests for one in asked])
        deadlines = np.repeat(
            np.array([one.deadline for one in asked]), [len(one.requests) for one in asked]
        )
        efforts = self._shedder.efforts(len(batch))
        started = time.perf_counter()
        slates = self._pipeline.answer(batch, efforts, deadlines)
        answered = time.perf_counter()
        self._shedder.observe(efforts, answered - started)
        responses, first = [], 0
        for one in asked:
            rows = range(first, first + len(one.requests))
            responses.append(self._respond(one, rows, slates))
            first = rows.stop
        self._metrics.count(efforts, slates, time.perf_counter() - answered)
        return responses

    def _respond(self, asked: TritonRequest, rows: range, slates: Slates) -> Any:
        rankings = [slates.rankings[row] for row in rows]
        if slates.refused[rows.start : rows.stop].any():
            return self._refusal(
                "the online store does not say what the user has bought: try again in a second "
                "(RECSYS_SEEN_WHEN_DOWN=show answers all the same)",
                "UNAVAILABLE",
            )
        if any(ranking is None for ranking in rankings):
            return self._refusal(
                "the deadline passed before the candidates were ranked: send the request again, "
                "or allow it more time",
                "CANCELLED",
            )
        ranked = [ranking for ranking in rankings if ranking is not None]
        degraded = slates.degraded[rows.start : rows.stop]
        if not is_probe(asked.request_id):
            self._hand_over(asked, ranked, rows, slates)
        return self._backend.InferenceResponse(self._tensors(asked.requests, ranked, degraded))

    def _tensors(
        self, requests: Requests, rankings: list[Ranking], degraded: np.ndarray
    ) -> list[Any]:
        """`item_id` [n, max k], `score` as the ranker gave it, `degraded` and `release` [n, 1].

        A row with fewer items than the longest ends in empty ids with score 0.
        """
        shape = (len(rankings), int(requests.ks.max()))
        item_id = np.full(shape, b"", dtype=object)
        score = np.zeros(shape, dtype=np.float32)
        for row, ranking in enumerate(rankings):
            shown = ranking.shown
            item_id[row, : len(shown)] = self._item_ids[ranking.rows[shown]]
            score[row, : len(shown)] = ranking.scores[shown]
        tensor = self._backend.Tensor
        return [
            tensor("item_id", item_id),
            tensor("score", score),
            tensor("degraded", degraded[:, None]),
            tensor("release", np.full((len(rankings), 1), self._release, dtype=np.int64)),
        ]

    def _hand_over(
        self, asked: TritonRequest, rankings: list[Ranking], rows: range, slates: Slates
    ) -> None:
        """Gives the answers to the log, which can neither delay nor fail them."""
        answered_at = time.time_ns() // 1000
        requests, request_id = asked.requests, asked.request_id
        for i, (row, ranking) in enumerate(zip(rows, rankings, strict=True)):
            answer = Answer(
                request_id=request_id if len(rows) == 1 else f"{request_id}#{i}",
                release=self._release,
                timestamp=int(requests.timestamps[i]),
                answered_at=answered_at,
                degraded=bool(slates.degraded[row]),
                k=int(requests.ks[i]),
                context=json.dumps(slates.columns[row]).encode(),
                rows=ranking.rows,
                scores=ranking.scores,
                shown=ranking.shown,
                propensities=ranking.propensities,
            )
            self._metrics.count_unlogged(self._log.put(answer))

    def _refusal(self, message: str, code: str) -> Any:
        error = self._backend.TritonError
        return self._backend.InferenceResponse(error=error(message, getattr(error, code)))


def _anonymous(count: int) -> Requests:
    nothing = [""] * count
    moments, ks = np.full(count, _WARM_UP_TIME), np.full(count, 10)
    return Requests(nothing, nothing, moments, ks, nothing)


def _warm_up(pipeline: Pipeline, rows: int) -> float:
    """Answers anonymous requests, so that nothing is done for the first time under load.

    Returns:
        Seconds that a batch of `rows` took.
    """
    requests = _anonymous(rows)
    efforts, deadlines = np.full(rows, Effort.FULL), np.full(rows, NEVER)
    seconds = []
    for _ in range(_WARM_UP_BATCHES):
        started = time.perf_counter()
        pipeline.answer(requests, efforts, deadlines)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))
