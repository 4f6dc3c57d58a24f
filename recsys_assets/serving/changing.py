"""A change of the live release, and what can make one.

That is a single server (`switching.py`), or the servers of a cluster (`fleet.py`). What is to be
changed, and when, is decided in `promotion.py`.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from recsys_assets.serving.processes import ServiceError, StuckLoad
from recsys_assets.serving.release import Releases
from recsys_assets.serving.release_events import Action, Promoted, Reason


class PromotionError(ServiceError):
    """A release could not be promoted; the one before it is served as if nothing had been."""


class LatePromotion(PromotionError, StuckLoad):
    """The server did not load a release in time."""


class NothingServed(PromotionError):
    """Neither the wanted release nor the one before it could be loaded."""


@dataclass(frozen=True)
class Step:
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


class Live(Protocol):
    """What answers with the live release."""

    @property
    def grpc(self) -> str:
        """Where it is asked, host:port."""

    def require_live(self) -> None:
        """Refuses to go on without a server.

        Raises:
            PromotionError: none answers; says how to start it.
        """

    def exclusive(self) -> AbstractContextManager[None]:
        """Keeps others from changing it meanwhile, as far as that can be done here."""

    def change(self, releases: Releases, step: Step) -> Promoted:
        """Makes the step and records it; whatever fails, what was live is served again.

        Raises:
            PromotionError: the release is not served.
        """

    def confirm(self, releases: Releases, serving: Promoted) -> None:
        """Makes sure that what is recorded as live is what answers.

        Raises:
            PromotionError: it does not.
        """

    def lagging(self) -> frozenset[int]:
        """Releases that some servers may still answer with although another one is live."""
