"""A small client of the served model `recommend`, on the standard Triton clients."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recsys_assets.settings import Settings

MODEL = "recommend"
_TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True)
class Recommendation:
    """One answer: items from the first to show to the last, with the ranker's scores."""

    item_ids: list[str]
    scores: list[float]
    release: int
    degraded: bool


class RecommendClient:
    """Asks one Triton server; keep it open for many requests, and close it (or use `with`).

    Args:
        address: host:port of the server's gRPC endpoint, or of HTTP with `http=True`.
        http: use the KServe v2 protocol over HTTP instead of gRPC.
    """

    def __init__(self, address: str, http: bool = False) -> None:
        if http:
            import tritonclient.http as protocol
        else:
            import tritonclient.grpc as protocol
        self._protocol: Any = protocol
        self._client = protocol.InferenceServerClient(address)
        self._timeout = {} if http else {"client_timeout": _TIMEOUT_SECONDS}

    def recommend(
        self, user_id: str, timestamp: int, device: str = "", k: int = 10
    ) -> Recommendation:
        """Items for one user (empty for an anonymous visitor) at `timestamp`, epoch seconds.

        Raises:
            tritonclient.utils.InferenceServerException: the server refuses or cannot answer.
        """
        inputs = [
            self._input("user_id", "BYTES", np.array([[user_id.encode()]], dtype=np.object_)),
            self._input("device", "BYTES", np.array([[device.encode()]], dtype=np.object_)),
            self._input("timestamp", "INT64", np.array([[timestamp]], dtype=np.int64)),
            self._input("k", "INT32", np.array([[k]], dtype=np.int32)),
        ]
        answer = self._client.infer(MODEL, inputs, **self._timeout)
        items = [item.decode() for item in answer.as_numpy("item_id")[0]]
        shown = [i for i, item in enumerate(items) if item]
        scores = answer.as_numpy("score")[0]
        return Recommendation(
            item_ids=[items[i] for i in shown],
            scores=[float(scores[i]) for i in shown],
            release=int(answer.as_numpy("release")[0, 0]),
            degraded=bool(answer.as_numpy("degraded")[0, 0]),
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
    """One request to the server of the settings, over gRPC."""
    with RecommendClient(settings.triton_grpc) as client:
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
