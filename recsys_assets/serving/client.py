"""A small client of the served model `recommend`, on the standard Triton clients."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recsys_assets.serving.request_log import new_request_id
from recsys_assets.settings import Settings

MODEL = "recommend"
_TIMEOUT_SECONDS = 10.0


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


class RecommendClient:
    """Asks one Triton server; keep it open for many requests, and close it (or use `with`).

    Args:
        address: host:port of the server's gRPC endpoint, or of HTTP with `http=True`.
        http: use the KServe v2 protocol over HTTP instead of gRPC.
        probe: only ask how the server is; the answers are no traffic and not logged.
    """

    def __init__(self, address: str, http: bool = False, probe: bool = False) -> None:
        if http:
            import tritonclient.http as protocol
        else:
            import tritonclient.grpc as protocol
        self._probe = probe
        self._protocol: Any = protocol
        self._client = protocol.InferenceServerClient(address)
        self._timeout = {} if http else {"client_timeout": _TIMEOUT_SECONDS}

    def recommend(
        self,
        user_id: str,
        timestamp: int,
        device: str = "",
        k: int = 10,
        request_id: str | None = None,
    ) -> Recommendation:
        """Items for one user (empty for an anonymous visitor) at `timestamp`, epoch seconds.

        A request that is sent again, because its answer was lost, keeps its `request_id`: the
        request log then counts it once. Without one it gets a new id.

        Raises:
            tritonclient.utils.InferenceServerException: the server refuses or cannot answer.
        """
        inputs = [
            self._input("user_id", "BYTES", np.array([[user_id.encode()]], dtype=np.object_)),
            self._input("device", "BYTES", np.array([[device.encode()]], dtype=np.object_)),
            self._input("timestamp", "INT64", np.array([[timestamp]], dtype=np.int64)),
            self._input("k", "INT32", np.array([[k]], dtype=np.int32)),
        ]
        sent_as = request_id or new_request_id(self._probe)
        answer = self._client.infer(MODEL, inputs, request_id=sent_as, **self._timeout)
        items = [item.decode() for item in answer.as_numpy("item_id")[0]]
        shown = [i for i, item in enumerate(items) if item]
        scores = answer.as_numpy("score")[0]
        return Recommendation(
            item_ids=[items[i] for i in shown],
            scores=[float(scores[i]) for i in shown],
            release=int(answer.as_numpy("release")[0, 0]),
            degraded=bool(answer.as_numpy("degraded")[0, 0]),
            request_id=sent_as,
        )

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def __enter__(self) -> "RecommendClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _input(self, name: str, datatype: str, values: np.ndarray) -> Any:
        tensor = self._protocol.InferInput(name, list(values.shape), datatype)
        tensor.set_data_from_numpy(values)
        return tensor


def recommend(
    settings: Settings, user_id: str, timestamp: int, device: str = "", k: int = 10
) -> Recommendation:
    """One request by hand to the server of the settings, over gRPC: no traffic, so not logged."""
    with RecommendClient(settings.triton_grpc, probe=True) as client:
        return client.recommend(user_id, timestamp, device, k)


def is_live(grpc_address: str) -> bool:
    """Whether a Triton server accepts requests there; says nothing about its models."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    with grpc.InferenceServerClient(grpc_address) as client:
        try:
            return bool(client.is_server_live(client_timeout=1.0))
        except InferenceServerException:
            return False
