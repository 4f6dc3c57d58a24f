"""What a Triton server is told, and asked, about its models over gRPC."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np

from recsys_assets.pipeline.request_log import new_request_id
from recsys_assets.rollout.release_target import LatePromotion, PromotionError
from recsys_assets.runtime.waiting import WaitedTooLong, telling, wait_for
from recsys_assets.triton.client import (
    CACHED,
    MODEL,
    RecommendClient,
    is_late,
    is_live,
    retry_after,
)
from recsys_assets.triton.repository import PIPELINE

# Any time will do for the request that proves which release answers.
_PROBE_TIME = 1_500_000_000

T = TypeVar("T")


def load(grpc_address: str, release: int, seconds: float) -> None:
    """Loads the ensemble and proves by a real inference that `release` answers.

    The load and the answer may take so many `seconds` each.

    Raises:
        PromotionError: the load failed, or another release answered.
    """
    load_ensembles(grpc_address, release, seconds)
    with (
        _refusing(f"release {release} cannot be served", seconds),
        RecommendClient(grpc_address, probe=True, timeout_seconds=seconds) as client,
    ):
        answered = _answer(lambda: client.recommend("", _PROBE_TIME, k=1), seconds).release
    if answered != release:
        raise PromotionError(f"release {release} was loaded, but release {answered} answers")


def load_ensembles(grpc_address: str, release: int, seconds: float) -> None:
    """Brings what is loaded to what the repository holds; `release` is named in the error.

    Raises:
        PromotionError: the load failed.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"release {release} cannot be served", seconds),
        grpc.InferenceServerClient(grpc_address) as client,
        telling(f"release {release} to be loaded"),
    ):
        for ensemble in (MODEL, CACHED):
            client.load_model(ensemble, client_timeout=seconds)


def prove(grpc_address: str, release: int, seconds: float) -> None:
    """Asks a loaded release itself, whatever the ensemble answers with.

    Raises:
        PromotionError: it does not answer.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"release {release} cannot be served", seconds),
        grpc.InferenceServerClient(grpc_address) as client,
    ):
        reason = _not_loaded(client, str(release), seconds)
        if reason:
            raise PromotionError(f"release {release} cannot be served: {reason}")
        _answer(lambda: _ask_version(client, str(release), seconds), seconds)


def unload(grpc_address: str, seconds: float) -> None:
    """Unloads everything, so that the next load starts every model process anew.

    Raises:
        PromotionError: the server does not answer.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"{MODEL} cannot be unloaded", seconds),
        grpc.InferenceServerClient(grpc_address) as client,
    ):
        for ensemble in (CACHED, MODEL):
            client.unload_model(ensemble, unload_dependents=True, client_timeout=seconds)


def require_live(grpc_address: str, remedy: str) -> None:
    """Refuses to go on without a server.

    Raises:
        PromotionError: none answers; ends with the remedy.
    """
    if not is_live(grpc_address):
        raise PromotionError(f"no Triton answers at {grpc_address}: {remedy}")


@contextmanager
def _refusing(what: str, seconds: float) -> Iterator[None]:
    """Says what could not be done, and in Triton's words why; or that it was waited for."""
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except WaitedTooLong as error:
        raise PromotionError(f"{what}: {error}") from error
    except InferenceServerException as error:
        if is_late(error):
            raise LatePromotion(f"{what}: {WaitedTooLong('Triton', seconds)}") from error
        raise PromotionError(f"{what}: {error.message()}") from error


def _answer(ask: Callable[[], T], seconds: float) -> T:
    """What comes of asking, again where the server has too much to do: that is no refusal."""
    from tritonclient.utils import InferenceServerException

    def look() -> T | None:
        try:
            return ask()
        except InferenceServerException as error:
            if retry_after(error) is None:
                raise
            return None

    return wait_for(look, "Triton to have room for a request", seconds)


def _not_loaded(client: Any, version: str, seconds: float) -> str:
    """Why a version did not load. A load succeeds if any version does, and tells of no other."""
    for model in client.get_model_repository_index(client_timeout=seconds).models:
        if (model.name, model.version) == (PIPELINE, version) and model.state != "READY":
            return str(model.reason)
    return ""


def _ask_version(client: Any, version: str, seconds: float) -> Any:
    from tritonclient.grpc import InferInput

    inputs = []
    for name, datatype, values in (
        ("user_id", "BYTES", np.array([[b""]], dtype=np.object_)),
        ("device", "BYTES", np.array([[b""]], dtype=np.object_)),
        ("timestamp", "INT64", np.array([[_PROBE_TIME]])),
        ("k", "INT32", np.array([[1]], dtype=np.int32)),
    ):
        inputs.append(InferInput(name, list(values.shape), datatype))
        inputs[-1].set_data_from_numpy(values)
    return client.infer(
        PIPELINE,
        inputs,
        version,
        request_id=new_request_id(probe=True),
        client_timeout=seconds,
    )
