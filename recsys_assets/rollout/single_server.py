"""How one running Triton server gets to another release, in one step.

The new version folder is laid beside the old one and loaded, while every request is answered by the
old release. Once the new one has answered a real inference, the ensemble's config is rewritten and
loaded, which takes milliseconds: until then the old release answers, from then on the new one. The
old one stays loaded as it is, so that going back loads nothing.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import ChangedMeanwhile, Promoted
from recsys_assets.rollout.model_control import load, load_ensembles, prove, require_live, unload
from recsys_assets.rollout.release_target import (
    Answering,
    NothingServed,
    PromotionError,
    ReleaseChange,
)
from recsys_assets.runtime.processes import ServiceError
from recsys_assets.settings import WAIT_SECONDS
from recsys_assets.triton.repository import (
    ON_CPU,
    add_version,
    is_laid,
    remove_versions,
    write_configs,
)

if TYPE_CHECKING:
    from recsys_assets.triton.server import TritonServer

_LOCK = ".promotion.lock"


class Folders(Protocol):
    """Where a server's releases come from."""

    def fetch(self, release: int) -> Path:
        """A local folder with the release."""


class Recorded(Folders, Protocol):
    """The same, and which of them is to be live."""

    def promoted(self) -> Promoted | None:
        """The record, None before the first promotion."""


def _never(_: ServiceError) -> bool:
    return False


@dataclass(frozen=True)
class SingleServer:
    """A running Triton server: its gRPC address, the model repository it serves, and on what.

    As `ReleaseTarget` it is the only server: what it answers with is what everybody gets. A load
    may take `wait_seconds`. Should the server abort or hang meanwhile, `revive` starts it again, if
    that is of use; it says whether it has.
    """

    grpc: str
    repository: Path
    kind: str = ON_CPU
    wait_seconds: float = WAIT_SECONDS
    revive: Callable[[ServiceError], bool] = field(default=_never, compare=False)

    @classmethod
    def embedded(cls, triton: "TritonServer") -> "SingleServer":
        """The server beside this process."""
        return cls(
            str(triton.addresses.grpc),
            triton.repository,
            wait_seconds=triton.wait_seconds,
            revive=triton.revive,
        )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """One change at a time; the kernel ends the hold of a killed one."""
        self.repository.mkdir(parents=True, exist_ok=True)
        with (self.repository / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def change(self, releases: Releases, step: ReleaseChange) -> Promoted:
        """Switches, then records; whatever fails, what was live is served again.

        Raises:
            PromotionError: the server does not answer, or the release cannot be served.
        """
        self._require_live()
        try:
            return self._change_or_revive(releases, step)
        except NothingServed:
            if step.action != "rolled back":
                raise
        # Nobody is disturbed by beginning anew with the earlier one alone.
        unload(self.grpc, self.wait_seconds)
        switch(releases, self, step.release, {step.release})
        return releases.record(
            step.release, step.before, step.reason, step.action, expected=step.serving
        )

    def confirm(self, releases: Releases, serving: Promoted) -> None:
        """Switches to what is recorded as live.

        Raises:
            PromotionError: the server does not answer, or the release cannot be served.
        """
        self._require_live()
        switch(releases, self, serving.release, kept_loaded(serving))

    def answering(self, release: int) -> Answering:
        """The server, which answers with the live release or has failed."""
        return Answering((self.grpc,))

    def _require_live(self) -> None:
        remedy = "start it (`recsys up` starts the embedded one), or correct RECSYS_TRITON_GRPC"
        require_live(self.grpc, remedy)

    def _change_or_revive(self, releases: Releases, step: ReleaseChange) -> Promoted:
        try:
            return self._change(releases, step)
        except NothingServed as error:
            if not self.revive(error):
                raise
        return self._change(releases, step)

    def _change(self, releases: Releases, step: ReleaseChange) -> Promoted:
        serving = step.serving
        try:
            bring(releases, self, step.release, serving.release if serving else None, step.loaded)
            return releases.record(
                step.release, step.before, step.reason, step.action, expected=serving
            )
        except (PromotionError, ChangedMeanwhile, OSError) as error:
            _restore(releases, self, serving, error)
            if isinstance(error, PromotionError):
                raise
            raise PromotionError(f"release {step.release} cannot be served: {error}") from error


def bring(
    folders: Folders, server: SingleServer, release: int, answering: int | None, loaded: set[int]
) -> None:
    """Loads a release and switches to it; the one that answers does so until it is sound.

    Args:
        folders: hold the releases.
        server: the server.
        release: what it is to answer with.
        answering: what it answers with now, None if with nothing.
        loaded: what is to stay in memory.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or does not answer with it.
    """
    if answering is not None and not is_ready(folders, server, release):
        load_beside(folders, server, release, answering)
    switch(folders, server, release, loaded)


def is_ready(folders: Folders, server: SingleServer, release: int) -> bool:
    """Whether a release is loaded, though another one may be live, and would answer."""
    if not is_laid(folders.fetch(release) / "models", server.repository, release):
        return False
    try:
        prove(server.grpc, release, server.wait_seconds)
    except PromotionError:
        return False
    return True


def load_beside(folders: Folders, server: SingleServer, release: int, serving: int) -> None:
    """Loads a release beside the one that is being served, and proves that it would answer.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or it does not answer.
    """
    # Without the release at first: should it be there with a dead process, that ends it.
    for loaded in ({serving}, {serving, release}):
        _lay(folders, server, loaded)
        write_configs(folders.fetch(serving) / "templates", server.repository, serving, server.kind)
        load_ensembles(server.grpc, release, server.wait_seconds)
    prove(server.grpc, release, server.wait_seconds)


def switch(folders: Folders, server: SingleServer, release: int, loaded: set[int]) -> None:
    """Makes the server answer with `release`, and keep the releases of `loaded` in memory.

    Raises:
        MissingRelease: the store has no such release.
        PromotionError: the server does not load it, or does not answer with it.
    """
    _lay(folders, server, loaded)
    write_configs(folders.fetch(release) / "templates", server.repository, release, server.kind)
    load(server.grpc, release, server.wait_seconds)


def serve_promoted(recorded: Recorded, server: SingleServer) -> Promoted | None:
    """Makes a server serve what the store records as promoted; None if nothing is yet.

    For a server that has just started, and for one whose model process has died: Triton never
    starts such a process again, except when the model is unloaded and loaded.

    Raises:
        MissingRelease: the promoted release is gone from the store.
        PromotionError: it cannot be loaded any more, or the server has died.
    """
    with server.exclusive():
        serving = recorded.promoted()
        if serving is not None:
            try:
                switch(recorded, server, serving.release, kept_loaded(serving))
            except PromotionError:
                unload(server.grpc, server.wait_seconds)
                _load_anew(recorded, server, serving)
        return serving


def kept_loaded(serving: Promoted) -> set[int]:
    """The promoted release and the one before it."""
    return {serving.release} | ({serving.previous} if serving.previous is not None else set())


def _load_anew(folders: Folders, server: SingleServer, serving: Promoted) -> None:
    try:
        switch(folders, server, serving.release, kept_loaded(serving))
    except PromotionError as error:
        if serving.previous is None:
            raise
        raise PromotionError(
            f"{error}. `recsys rollback --reason <why>` goes back to release {serving.previous}"
        ) from error


def _restore(
    folders: Folders, server: SingleServer, serving: Promoted | None, cause: Exception
) -> None:
    try:
        if serving is None:
            unload(server.grpc, server.wait_seconds)
        else:
            switch(folders, server, serving.release, kept_loaded(serving))
    except (PromotionError, OSError) as error:
        live = serving.release if serving else "none"
        raise NothingServed(
            f"{cause}; nor could what was live before (release {live}) be loaded again: {error}. "
            "It is still the promoted one: `recsys up` brings it back"
        ) from cause


def _lay(folders: Folders, server: SingleServer, loaded: set[int]) -> None:
    for number in loaded:
        add_version(folders.fetch(number) / "models", server.repository, number)
    remove_versions(server.repository, loaded)


__all__ = [
    "Folders",
    "PromotionError",
    "Recorded",
    "SingleServer",
    "bring",
    "is_ready",
    "kept_loaded",
    "load",
    "load_beside",
    "serve_promoted",
    "switch",
]
