"""What a running Triton server is told in order to answer with another release, in one step.

The new version folder is laid beside the old one and loaded, while every request is answered by the
old release. Once the new one has answered a real inference, the ensemble's config is rewritten and
loaded, which takes milliseconds: until then the old release answers, from then on the new one. The
old one stays loaded as it is, so that going back loads nothing.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.serving.client import CACHED, MODEL, RecommendClient, is_live
from recsys_assets.serving.processes import ServiceError
from recsys_assets.serving.release import Releases
from recsys_assets.serving.repository import (
    PIPELINE,
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
        PromotionError: the server does not load it, or it does not answer.
    """
    # Without the release at first: should it be there with a dead process, that ends it.
    for loaded in ({serving}, {serving, release}):
        _lay(releases, server, loaded)
        write_configs(releases.fetch(serving) / "templates", server.repository, serving)
        _load_ensembles(server.grpc, release)
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

    _load_ensembles(grpc_address, release)
    try:
        with RecommendClient(grpc_address, probe=True) as client:
            answered = client.recommend("", _PROBE_TIME, k=1).release
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error
    if answered != release:
        raise PromotionError(f"release {release} was loaded, but release {answered} answers")


def prove(grpc_address: str, release: int) -> None:
    """Asks a loaded release itself, whatever the ensemble answers with.

    Raises:
        PromotionError: it does not answer.
    """
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    try:
        with grpc.InferenceServerClient(grpc_address) as client:
            _ask_version(client, str(release))
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
            for ensemble in (CACHED, MODEL):
                client.unload_model(ensemble, unload_dependents=True)
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


def _load_ensembles(grpc_address: str, release: int) -> None:
    """Brings what is loaded to what the repository holds; `release` is named in the error."""
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    try:
        with grpc.InferenceServerClient(grpc_address) as client:
            for ensemble in (MODEL, CACHED):
                client.load_model(ensemble, client_timeout=_LOAD_SECONDS)
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error


@contextmanager
def exclusive(repository: Path) -> Iterator[None]:
    """One promotion at a time; the kernel ends the hold of a killed one."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository.parent / "promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
