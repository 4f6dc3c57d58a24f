"""The served model `recommend`, asked without blocking: one channel for all requests.

An address that resolves to several pods (a headless service) is used in turn, request by request:
gRPC keeps a connection to each and leaves out those that fail. A ClusterIP service would pin the
channel to one pod. gRPC looks the address up again when a connection ends, so Triton is to end
them now and then (`--grpc-max-connection-age=30000`), else added pods wait for their first request.
"""

import time

import numpy as np
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from recsys_assets.pipeline.request_log import new_request_id
from recsys_assets.pipeline.requests import Requests
from recsys_assets.triton.client import (
    CACHED,
    MODEL,
    Recommendation,
    RequestClass,
    inputs_of,
    read_answer,
    retry_after,
    tensors_of,
)

UNAVAILABLE = "StatusCode.UNAVAILABLE"
_CHANNEL = [
    ("grpc.lb_policy_name", "round_robin"),
    # A node that vanishes without a word is noticed; Triton ends channels that ping while idle.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Triton is a neighbour, even where a proxy is set for what is not.
    ("grpc.enable_http_proxy", 0),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
]


class TritonGateway:
    """Asks the servers at an address; make it where an event loop runs, and close it.

    Args:
        target: in gRPC's form, such as dns:///triton:8001.
    """

    def __init__(self, target: str) -> None:
        self._client = aio.InferenceServerClient(target, channel_args=_CHANNEL)

    async def recommend(
        self,
        tensors: dict[str, np.ndarray],
        request_class: RequestClass,
        seconds: float,
        cached: bool = False,
        probe: bool = False,
    ) -> Recommendation:
        """Items for one user.

        A server that went away is not the caller's concern: another one is asked, once, under the
        same request id. One that refuses for load is not asked again.

        Args:
            tensors: of `request_tensors`.
            request_class: how urgent.
            seconds: after which there is no answer.
            cached: a server may answer from memory what it was asked before, to the second.
            probe: no traffic, so not logged.

        Raises:
            InferenceServerException: no answer; `status()` says why.
        """
        inputs = inputs_of(aio, tensors)
        request_id, deadline = new_request_id(probe), time.monotonic() + seconds
        arguments = {"request_id": request_id, **request_class.as_arguments(time.time())}
        model = CACHED if cached else MODEL
        try:
            answer = await self._client.infer(model, inputs, client_timeout=seconds, **arguments)
        except InferenceServerException as error:
            left = deadline - time.monotonic()
            if error.status() != UNAVAILABLE or retry_after(error) is not None or left <= 0:
                raise
            answer = await self._client.infer(model, inputs, client_timeout=left, **arguments)
        return read_answer(answer, request_id)

    async def close(self) -> None:
        """Closes the channel."""
        await self._client.close()


def request_tensors(user_id: str, device: str, timestamp: int, k: int) -> dict[str, np.ndarray]:
    """The tensors of a request, [1, 1] each.

    Raises:
        InvalidRequest: a value is out of range; names it, as the served model would.
    """
    given = {"user_id": user_id.encode(), "device": device.encode(), "timestamp": timestamp, "k": k}
    # As objects, since a number may be larger than its tensor holds.
    Requests.of({name: np.array([[value]], dtype=np.object_) for name, value in given.items()})
    return tensors_of(user_id, device, timestamp, k)
