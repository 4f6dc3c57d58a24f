"""What a running Triton server is told in order to answer with another release, in one step.

The new version folders are laid beside the old ones and loaded, while every request is answered by
the old release. Once each stage of the new one has answered a real inference, the ensemble's config
is rewritten and loaded, which takes milliseconds: until then the old release answers, from then on
the new one. Stages of the old one stay loaded as they are, so that going back loads nothing.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.serving.client import MODEL, RecommendClient, is_live
from recsys_assets.serving.processes import ServiceError
from recsys_assets.serving.release import Releases
from recsys_assets.serving.repository import (
    STAGES,
    add_version,
    remove_versions,
    write_configs,
)
from recsys_assets.serving.request_log import new_request_id

# Any time will do for the request that proves which release answers.
_PROBE_TIME = 1_500_000_000
_PROBE_SECONDS = 10.0
_LOAD_SECONDS = 300.0


class PromotionError(ServiceError):
    """A release could not be promoted; the one before it is served as if nothing had been."""


@dataclass(frozen=True)
class LiveServer:
    """A running Triton server: its gRPC address and the model repository it serves."""

    grpc: str
    repository: Path


def load_beside(releases: Releases, server: LiveServer, release: int, serving: int) -> None:
    """Loads a release beside the one that is being served, and proves that it would answer.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or a stage of it does not answer.
    """
    # Without the release at first: should it be there with a dead process, that ends it.
    for loaded in ({serving}, {serving, release}):
        _lay(releases, server, loaded)
        write_configs(releases.fetch(serving) / "templates", server.repository, serving)
        _load_ensemble(server.grpc, release)
    prove(server.grpc, release)


def switch(releases: Releases, server: LiveServer, release: int, loaded: set[int]) -> None:
    """Makes the server answer with `release`, and keep the releases of `loaded` in memory.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or does not answer with it.
    """
    _lay(releases, server, loaded)
    write_configs(releases.fetch(release) / "templates", server.repository, release)
    load(server.grpc, release)


def load(grpc_address: str, release: int) -> None:
    """Loads the ensemble and proves by a real inference that `release` answers.

    Raises:
        PromotionError: the load failed, or another release answered.
    """
    from tritonclient.utils import InferenceServerException

    _load_ensemble(grpc_address, release)
    try:
        with RecommendClient(grpc_address, probe=True) as client:
            answered = client.recommend("", _PROBE_TIME, k=1).release
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error
    if answered != release:
        raise PromotionError(f"release {release} was loaded, but release {answered} answers")


def prove(grpc_address: str, release: int) -> None:
    """Asks the stages of a loaded release one after another, whatever the ensemble answers with.

    Raises:
        PromotionError: a stage does not answer.
    """
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    tensors = {
        "user_id": np.array([[b""]], dtype=np.object_),
        "device": np.array([[b""]], dtype=np.object_),
        "timestamp": np.array([[_PROBE_TIME]]),
        "k": np.array([[1]], dtype=np.int32),
    }
    try:
        with grpc.InferenceServerClient(grpc_address) as client:
            for stage in STAGES:
                tensors |= _ask_stage(client, stage, str(release), tensors)
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error


def unload(server: LiveServer) -> None:
    """Unloads everything, so that the next switch starts every model process anew.

    Raises:
        PromotionError: the server does not answer.
    """
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    try:
        with grpc.InferenceServerClient(server.grpc) as client:
            client.unload_model(MODEL, unload_dependents=True)
    except InferenceServerException as error:
        raise PromotionError(f"{MODEL} cannot be unloaded: {error.message()}") from error


def require_live(server: LiveServer) -> None:
    """Refuses to go on without a server.

    Raises:
        PromotionError: none answers; says how to start it.
    """
    if not is_live(server.grpc):
        raise PromotionError(
            f"no Triton answers at {server.grpc}: start it (`recsys up` starts the embedded one), "
            "or correct RECSYS_TRITON_GRPC"
        )


def _lay(releases: Releases, server: LiveServer, loaded: set[int]) -> None:
    for number in loaded:
        add_version(releases.fetch(number) / "models", server.repository, number)
    remove_versions(server.repository, loaded)


def _ask_stage(
    client: Any, stage: str, version: str, tensors: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Outputs of one version of a stage, which takes its inputs from `tensors` by name."""
    from tritonclient.grpc import InferInput

    declared = client.get_model_metadata(stage, version, client_timeout=_PROBE_SECONDS)
    inputs = []
    for tensor in declared.inputs:
        values = tensors[tensor.name]
        inputs.append(InferInput(tensor.name, list(values.shape), tensor.datatype))
        inputs[-1].set_data_from_numpy(values)
    answer = client.infer(
        stage,
        inputs,
        version,
        request_id=new_request_id(probe=True),
        client_timeout=_PROBE_SECONDS,
    )
    return {tensor.name: answer.as_numpy(tensor.name) for tensor in declared.outputs}


def _load_ensemble(grpc_address: str, release: int) -> None:
    """Brings what is loaded to what the repository holds; `release` is named in the error."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    try:
        with grpc.InferenceServerClient(grpc_address) as client:
            client.load_model(MODEL, client_timeout=_LOAD_SECONDS)
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error


@contextmanager
def exclusive(repository: Path) -> Iterator[None]:
    """One promotion at a time; the kernel ends the hold of a killed one."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository.parent / "promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
