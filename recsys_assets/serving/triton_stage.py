"""What the `model.py` files of `triton_repo/` share: tensors in, a stage, tensors out.

Runs in Triton's Python stub only, which provides `triton_python_backend_utils`.
"""

import json
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recsys_assets.serving.pipeline import Ranking, RankStage
from recsys_assets.serving.request_log import (
    Answer,
    LogWriter,
    connect,
    is_probe,
    new_request_id,
)
from recsys_assets.serving.requests import InvalidRequest
from recsys_assets.settings import load_settings

RELEASE = "release"


Tensors = dict[str, np.ndarray]


class Stage(Protocol):
    """A stage of `pipeline.py`."""

    def run(self, inputs: Tensors) -> Tensors:
        """From the inputs of the Triton model to its outputs."""


class StageModel(ABC):
    """A Triton model around one stage.

    Every stage passes the release number on, and refuses work that another release has begun:
    an answer never mixes two.
    """

    @staticmethod
    @abstractmethod
    def load(folder: Path) -> Stage:
        """The stage of the release in `folder`; each model says which."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the stage from the version folder, whose name is the release number."""
        import triton_python_backend_utils as backend

        self._backend = backend
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._dtypes = {
            tensor["name"]: backend.triton_string_to_numpy(tensor["data_type"])
            for tensor in config["output"]
        }
        self._release = int(args["model_version"])
        # The family must be kept: a metric does not outlive it.
        self._family = backend.MetricFamily(
            name="recsys_degraded_rows_total",
            description="Rows answered without the online store, by the stage that noticed",
            kind=backend.MetricFamily.COUNTER,
        )
        self._degraded = self._family.Metric(
            labels={"stage": args["model_name"], "release": args["model_version"]}
        )
        self._stage = self.load(Path(args["model_repository"]) / args["model_version"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response for each request; a bad request gets an error and harms no other."""
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        backend = self._backend
        inputs = {
            name: backend.get_input_tensor_by_name(request, name).as_numpy()
            for name in self._inputs
        }
        try:
            outputs = self._run(inputs, request)
        except InvalidRequest as error:
            return backend.InferenceResponse(
                error=backend.TritonError(str(error), backend.TritonError.INVALID_ARG)
            )
        return backend.InferenceResponse(
            [
                backend.Tensor(name, np.asarray(outputs[name], dtype=dtype))
                for name, dtype in self._dtypes.items()
            ]
        )

    def _run(self, inputs: Tensors, request: Any) -> Tensors:
        begun = inputs.pop(RELEASE, None)
        if begun is not None and (begun != self._release).any():
            raise RuntimeError(f"release {self._release} was handed work of release {begun[0, 0]}")
        outputs = self._outputs(inputs, request)
        self._count_degraded(inputs, outputs)
        count = len(next(iter(outputs.values())))
        return {**outputs, RELEASE: np.full((count, 1), self._release, dtype=np.int64)}

    def _outputs(self, inputs: Tensors, request: Any) -> Tensors:
        """The stage's outputs; `request` is what Triton handed over."""
        return self._stage.run(inputs)

    def _count_degraded(self, inputs: Tensors, outputs: Tensors) -> None:
        """Counts rows that became degraded in this stage."""
        became = outputs["degraded"]
        if "degraded" in inputs:
            became = became & ~inputs["degraded"]
        if became.any():
            self._degraded.increment(int(became.sum()))


class RankModel(StageModel):
    """The last stage: it knows the whole answer, and hands it to the request log.

    The log costs the answer a few microseconds and can neither delay nor fail it.
    """

    _stage: RankStage

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the stage and starts the log's writer."""
        super().initialize(args)
        self._lost_family = self._backend.MetricFamily(
            name="recsys_unlogged_answers_total",
            description="Answers dropped from the request log, as the store was away for too long",
            kind=self._backend.MetricFamily.COUNTER,
        )
        self._lost = self._lost_family.Metric(labels={"release": args["model_version"]})
        self._log = LogWriter(connect(load_settings().online_store_url))

    def finalize(self) -> None:
        """Sends what the log still holds; Triton calls it before the process ends."""
        self._log.close()

    def _outputs(self, inputs: Tensors, request: Any) -> Tensors:
        rankings = self._stage.rank(inputs)
        outputs = self._stage.outputs(inputs, rankings)
        request_id = request.request_id() or new_request_id()
        if not is_probe(request_id):
            self._hand_over(request_id, inputs, rankings)
        return outputs

    def _hand_over(self, request_id: str, inputs: Tensors, rankings: list[Ranking]) -> None:
        answered_at = time.time_ns() // 1000
        for i, ranking in enumerate(rankings):
            answer = Answer(
                request_id=request_id if len(rankings) == 1 else f"{request_id}#{i}",
                release=self._release,
                timestamp=int(inputs["timestamp"][i, 0]),
                answered_at=answered_at,
                degraded=bool(inputs["degraded"][i, 0]),
                k=int(inputs["k"][i, 0]),
                context=inputs["user_columns"][i, 0],
                rows=ranking.rows,
                scores=ranking.scores,
                shown=ranking.shown,
            )
            dropped = self._log.put(answer)
            if dropped:
                self._lost.increment(dropped)
