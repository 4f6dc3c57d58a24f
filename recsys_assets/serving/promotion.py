"""Switching a running Triton server from one release to another, in one step.

The new version folders are laid beside the old ones, the ensemble's config is rewritten, and ONE
load of the ensemble brings the new stages with it: until that load is done every request is
answered by the old release, then by the new one. Stages of the old one stay loaded as they are,
so that going back loads nothing.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recsys_assets.serving.client import MODEL, RecommendClient, is_live
from recsys_assets.serving.processes import ServiceError
from recsys_assets.serving.release import Promoted, Releases
from recsys_assets.serving.repository import add_version, remove_versions, write_configs

# Any time will do for the request that proves which release answers.
_PROBE_TIME = 1_500_000_000
_LOAD_SECONDS = 300.0


class PromotionError(ServiceError):
    """A release could not be promoted; the one before it is served as if nothing had been."""


@dataclass(frozen=True)
class LiveServer:
    """A running Triton server: its gRPC address and the model repository it serves."""

    grpc: str
    repository: Path


def promote(releases: Releases, server: LiveServer, release: int) -> Promoted:
    """Makes `release` the one that is served, and records it.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or does not answer with it.
    """
    _require_live(server)
    with _exclusive(server.repository):
        serving = releases.promoted()
        if serving is not None and serving.release == release:
            _switch(releases, server, release, _loaded(serving))
            return serving
        before = (*serving.before, serving.release) if serving else ()
        _switch_or_restore(releases, server, release, serving)
        return releases.record(release, before)


def promote_approved(releases: Releases, server: LiveServer, release: int | None) -> Promoted:
    """Promotes `release`, or the newest one if None, provided that it has passed its checks.

    Raises:
        PromotionError: as `promote`, and if the release has not passed.
    """
    wanted = releases.latest() if release is None else release
    releases.manifest(wanted)
    if not releases.is_approved(wanted):
        raise PromotionError(
            f"release {wanted} has not passed its canary check: run the check canary_answers of "
            "triton_model_repository"
        )
    return promote(releases, server, wanted)


def rollback(releases: Releases, server: LiveServer) -> Promoted:
    """Goes back to the release that was promoted before the present one.

    Raises:
        PromotionError: there is none, or it does not answer.
    """
    _require_live(server)
    with _exclusive(server.repository):
        serving = releases.promoted()
        if serving is None or serving.previous is None:
            raise PromotionError("there is no earlier release to go back to")
        _switch_or_restore(releases, server, serving.previous, serving)
        return releases.record(serving.previous, serving.before[:-1])


def serve_promoted(releases: Releases, server: LiveServer) -> Promoted | None:
    """Makes a server serve what the store records as promoted; None if nothing is yet.

    For a server that has just started, and for one whose model process has died: Triton never
    starts such a process again, except when the model is unloaded and loaded.
    """
    with _exclusive(server.repository):
        serving = releases.promoted()
        if serving is not None:
            try:
                _switch(releases, server, serving.release, _loaded(serving))
            except PromotionError:
                _unload(server)
                _switch(releases, server, serving.release, _loaded(serving))
        return serving


def _loaded(serving: Promoted) -> set[int]:
    """The promoted release and the one before it."""
    return {serving.release} | ({serving.previous} if serving.previous is not None else set())


def _switch_or_restore(
    releases: Releases, server: LiveServer, release: int, serving: Promoted | None
) -> None:
    """Switches; on failure puts the release back that was served."""
    try:
        _switch(releases, server, release, {release, serving.release if serving else release})
    except PromotionError:
        if serving is None:
            _unload(server)
        else:
            _switch(releases, server, serving.release, _loaded(serving))
        raise


def _switch(releases: Releases, server: LiveServer, release: int, loaded: set[int]) -> None:
    for number in loaded:
        add_version(releases.fetch(number) / "models", server.repository, number)
    remove_versions(server.repository, loaded)
    write_configs(releases.fetch(release) / "templates", server.repository, release)
    load(server.grpc, release)


def load(grpc_address: str, release: int) -> None:
    """Loads the ensemble and proves by a real inference that `release` answers.

    Raises:
        PromotionError: the load failed, or another release answered.
    """
    import tritonclient.grpc as grpc
    from tritonclient.utils import InferenceServerException

    try:
        with grpc.InferenceServerClient(grpc_address) as client:
            client.load_model(MODEL, client_timeout=_LOAD_SECONDS)
        with RecommendClient(grpc_address) as client:
            answered = client.recommend("", _PROBE_TIME, k=1).release
    except InferenceServerException as error:
        raise PromotionError(f"release {release} cannot be served: {error.message()}") from error
    if answered != release:
        raise PromotionError(f"release {release} was loaded, but release {answered} answers")


def _unload(server: LiveServer) -> None:
    import tritonclient.grpc as grpc

    with grpc.InferenceServerClient(server.grpc) as client:
        client.unload_model(MODEL, unload_dependents=True)


def _require_live(server: LiveServer) -> None:
    if not is_live(server.grpc):
        raise PromotionError(
            f"no Triton answers at {server.grpc}: start it (`recsys up` starts the embedded one), "
            "or correct RECSYS_TRITON_GRPC"
        )


@contextmanager
def _exclusive(repository: Path) -> Iterator[None]:
    """One promotion at a time; the kernel ends the hold of a killed one."""
    repository.mkdir(parents=True, exist_ok=True)
    with (repository.parent / "promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
