"""What a Triton server is told, and asked, about its models over gRPC."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from recsys_assets.serving.changing import PromotionError
from recsys_assets.serving.client import CACHED, MODEL, RecommendClient, is_live
from recsys_assets.serving.repository import PIPELINE
from recsys_assets.serving.request_log import new_request_id

# Any time will do for the request that proves which release answers.
_PROBE_TIME = 1_500_000_000
_PROBE_SECONDS = 10.0
_LOAD_SECONDS = 300.0


def load(grpc_address: str, release: int) -> None:
    """Loads the ensemble and proves by a real inference that `release` answers.

    Raises:
        PromotionError: the load failed, or another release answered.
    """
    load_ensembles(grpc_address, release)
    with (
        _refusing(f"release {release} cannot be served"),
        RecommendClient(grpc_address, probe=True) as client,
    ):
        answered = client.recommend("", _PROBE_TIME, k=1).release
    if answered != release:
        raise PromotionError(f"release {release} was loaded, but release {answered} answers")


def load_ensembles(grpc_address: str, release: int) -> None:
    """Brings what is loaded to what the repository holds; `release` is named in the error.

    Raises:
        PromotionError: the load failed.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"release {release} cannot be served"),
        grpc.InferenceServerClient(grpc_address) as client,
    ):
        for ensemble in (MODEL, CACHED):
            client.load_model(ensemble, client_timeout=_LOAD_SECONDS)


def prove(grpc_address: str, release: int) -> None:
    """Asks a loaded release itself, whatever the ensemble answers with.

    Raises:
        PromotionError: it does not answer.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"release {release} cannot be served"),
        grpc.InferenceServerClient(grpc_address) as client,
    ):
        reason = _not_loaded(client, str(release))
        if reason:
            raise PromotionError(f"release {release} cannot be served: {reason}")
        _ask_version(client, str(release))


def unload(grpc_address: str) -> None:
    """Unloads everything, so that the next load starts every model process anew.

    Raises:
        PromotionError: the server does not answer.
    """
    import tritonclient.grpc as grpc

    with (
        _refusing(f"{MODEL} cannot be unloaded"),
        grpc.InferenceServerClient(grpc_address) as client,
    ):
        for ensemble in (CACHED, MODEL):
            client.unload_model(ensemble, unload_dependents=True)


def require_live(grpc_address: str, remedy: str) -> None:
    """Refuses to go on without a server.

    Raises:
        PromotionError: none answers; ends with the remedy.
    """
    if not is_live(grpc_address):
        raise PromotionError(f"no Triton answers at {grpc_address}: {remedy}")


@contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Says what could not be done, and in Triton's words why."""
    from tritonclient.utils import InferenceServerException

    try:
        yield
    except InferenceServerException as error:
        raise PromotionError(f"{what}: {error.message()}") from error


def _not_loaded(client: Any, version: str) -> str:
    """Why a version did not load. A load succeeds if any version does, and tells of no other."""
    for model in client.get_model_repository_index(client_timeout=_PROBE_SECONDS).models:
        if (model.name, model.version) == (PIPELINE, version) and model.state != "READY":
            return str(model.reason)
    return ""


def _ask_version(client: Any, version: str) -> None:
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
    client.infer(
        PIPELINE,
        inputs,
        version,
        request_id=new_request_id(probe=True),
        client_timeout=_PROBE_SECONDS,
    )
