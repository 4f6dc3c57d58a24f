"""A change of the live release, and what can make one.

That is a single server (`single_server.py`), or the servers of a cluster (`fleet.py`). What is to
be changed, and when, is decided in `promotion.py`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import Action, Promoted, Reason
from recsys_assets.runtime.processes import ServiceError, StuckLoad


class PromotionError(ServiceError):
    """A release could not be promoted; the one before it is served as if nothing had been."""


class LatePromotion(PromotionError, StuckLoad):
    """The server did not load a release in time."""


class NothingServed(PromotionError):
    """Neither the wanted release nor the one before it could be loaded."""


@dataclass(frozen=True)
class ReleaseChange:
    """A change to be made: what to, the record of it, and what is live."""

    release: int
    before: tuple[int, ...]
    reason: Reason
    action: Action
    serving: Promoted | None

    @property
    def loaded(self) -> set[int]:
        """What stays loaded: the new release and the one that it takes the place of."""
        return {self.release} | ({self.serving.release} if self.serving else set())


def _never(_: str) -> bool:
    return False


@dataclass(frozen=True)
class Answering:
    """Servers that answer with a release, to be asked one by one.

    Attributes:
        addresses: of their gRPC endpoints, host:port.
        has_gone: whether the server at an address was taken away, as with its node or by an
            autoscaler: that it does not answer any more is no fault of the release.
    """

    addresses: tuple[str, ...]
    has_gone: Callable[[str], bool] = _never


class ReleaseTarget(Protocol):
    """What answers with the live release."""

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps others from changing it meanwhile, as far as that can be done here."""

    def change(self, releases: Releases, step: ReleaseChange) -> Promoted:
        """Makes the step and records it; whatever fails, what was live is served again.

        Raises:
            PromotionError: the release is not served.
        """

    def confirm(self, releases: Releases, serving: Promoted) -> None:
        """Makes sure that what is recorded as live is what answers.

        Raises:
            PromotionError: it does not.
        """

    def answering(self, release: int) -> Answering:
        """The servers that have got to a release; others, which lag behind, are left out."""
