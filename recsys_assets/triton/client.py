"""A small client of the served model `recommend`, on the standard Triton clients."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recsys_assets.pipeline.request_log import new_request_id
from recsys_assets.settings import Settings

MODEL = "recommend"
CACHED = "recommend_cached"
_TIMEOUT_SECONDS = 10.0
# What Triton says when it has no room for a request, or no time.
_OVERLOADED = ("Exceeds maximum queue size", "Request timeout expired")
_LATE = "Deadline Exceeded"  # of gRPC
_RETRY_SECONDS = 1.0
_LIVE_SECONDS = 10.0  # a refused connection fails at once


@dataclass(frozen=True)
class RequestClass:
    """How urgent and how thorough requests are; the defaults are those of the server.

    Attributes:
        priority: 1 for pages that somebody waits for (product page, cart), 2 for batches (e-mail),
            which are answered while nothing of priority 1 waits.
        deadline_ms: after which an answer is of no use. What has waited longer is refused, and
            what is late in between is not ranked.
        search_budget: how far the index is searched, such as "low" or "high" for a campaign.
    """

    priority: int = 1
    deadline_ms: int | None = None
    search_budget: str | None = None

    def __post_init__(self) -> None:
        if self.priority not in (1, 2):
            raise ValueError(f"priority is {self.priority}: give 1 (interactive) or 2 (batch)")
        if self.deadline_ms is not None and self.deadline_ms < 1:
            raise ValueError(f"deadline_ms is {self.deadline_ms}: give at least 1")

    def as_arguments(self, now: float) -> dict[str, Any]:
        """Arguments of a Triton client's `infer` for a request sent at `now`, epoch seconds."""
        parameters: dict[str, Any] = {}
        arguments: dict[str, Any] = {"priority": self.priority}
        if self.deadline_ms is not None:
            arguments["timeout"] = self.deadline_ms * 1000
            parameters["deadline_ms"] = int(now * 1000) + self.deadline_ms
        if self.search_budget is not None:
            parameters["search_budget"] = self.search_budget
        return {**arguments, "parameters": parameters} if parameters else arguments


INTERACTIVE = RequestClass()
_DATATYPES = {"user_id": "BYTES", "device": "BYTES", "timestamp": "INT64", "k": "INT32"}


@dataclass(frozen=True)
class Recommendation:
    """One answer: items from the first to show to the last, with the ranker's scores.

    `request_id` finds the answer in the request log.
    """

    item_ids: list[str]
    scores: list[float]
    release: int
    degraded: bool
    request_id: str = field(compare=False)


def tensors_of(user_id: str, device: str, timestamp: int, k: int) -> dict[str, np.ndarray]:
    """The tensors of a request by name, [1, 1] each."""
    return {
        "user_id": np.array([[user_id.encode()]], dtype=np.object_),
        "device": np.array([[device.encode()]], dtype=np.object_),
        "timestamp": np.array([[timestamp]], dtype=np.int64),
        "k": np.array([[k]], dtype=np.int32),
    }


def inputs_of(protocol: Any, tensors: Mapping[str, np.ndarray]) -> list[Any]:
    """The tensors as a Triton client sends them; `protocol` is one of its modules."""
    inputs = []
    for name, values in tensors.items():
        inputs.append(protocol.InferInput(name, list(values.shape), _DATATYPES[name]))
        inputs[-1].set_data_from_numpy(values)
    return inputs


def read_answer(answer: Any, request_id: str) -> Recommendation:
    """Of a Triton client's result, without the places that no item was found for."""
    items = [item.decode() for item in answer.as_numpy("item_id")[0]]
    shown = [place for place, item in enumerate(items) if item]
    scores = answer.as_numpy("score")[0]
    return Recommendation(
        item_ids=[items[place] for place in shown],
        scores=[float(scores[place]) for place in shown],
        release=int(answer.as_numpy("release")[0, 0]),
        degraded=bool(answer.as_numpy("degraded")[0, 0]),
        request_id=request_id,
    )


def model_for(request_class: RequestClass, cached: bool) -> str:
    """The model to ask; Triton's cache knows inputs alone, and would mix up search budgets."""
    return CACHED if cached and request_class.search_budget is None else MODEL


class RecommendClient:
    """Asks one Triton server; keep it open for many requests, and close it (or use `with`).

    Args:
        address: host:port of the server's gRPC endpoint, or of HTTP with `http=True`.
        http: use the KServe v2 protocol over HTTP instead of gRPC.
        probe: only ask how the server is; the answers are no traffic and not logged.
        cached: let the server answer from memory what it was asked before, to the second, unless
            a search budget is given. For anonymous visitors, with times rounded by the caller;
            such answers are not logged.
        timeout_seconds: after which a request over gRPC fails.
    """

    def __init__(
        self,
        address: str,
        http: bool = False,
        probe: bool = False,
        cached: bool = False,
        timeout_seconds: float = _TIMEOUT_SECONDS,
    ) -> None:
        if http:
            import tritonclient.http as protocol
        else:
            import tritonclient.grpc as protocol
        self._probe = probe
        self._cached = cached
        self._protocol: Any = protocol
        self._client = protocol.InferenceServerClient(address)
        self._timeout = {} if http else {"client_timeout": timeout_seconds}

    def recommend(
        self,
        user_id: str,
        timestamp: int,
        device: str = "",
        k: int = 10,
        request_id: str | None = None,
        request_class: RequestClass = INTERACTIVE,
    ) -> Recommendation:
        """Items for one user (empty for an anonymous visitor) at `timestamp`, epoch seconds.

        A request that is sent again, because its answer was lost, keeps its `request_id`: the
        request log then counts it once. Without one it gets a new id.

        Raises:
            tritonclient.utils.InferenceServerException: the server refuses or cannot answer;
                `retry_after` tells the one from the other.
        """
        inputs = inputs_of(self._protocol, tensors_of(user_id, device, timestamp, k))
        sent_as = request_id or new_request_id(self._probe)
        arguments = {**self._timeout, **request_class.as_arguments(time.time())}
        model = model_for(request_class, self._cached)
        answer = self._client.infer(model, inputs, request_id=sent_as, **arguments)
        return read_answer(answer, sent_as)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def __enter__(self) -> "RecommendClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def recommend(
    settings: Settings, user_id: str, timestamp: int, device: str = "", k: int = 10
) -> Recommendation:
    """One request by hand to the server of the settings, over gRPC: no traffic, so not logged."""
    with RecommendClient(settings.triton_grpc, probe=True) as client:
        return client.recommend(user_id, timestamp, device, k)


def retry_after(error: Exception) -> float | None:
    """Seconds after which a refused request may be sent again; None if it was not for load."""
    return _RETRY_SECONDS if any(reason in str(error) for reason in _OVERLOADED) else None


def is_late(error: Exception) -> bool:
    """Whether a request over gRPC was given up as its client's time was over."""
    return _LATE in str(error)


def is_live(grpc_address: str) -> bool:
    """Whether a Triton server accepts requests there; says nothing about its models."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    with grpc.InferenceServerClient(grpc_address) as client:
        try:
            return bool(client.is_server_live(client_timeout=_LIVE_SECONDS))
        except InferenceServerException:
            return False
