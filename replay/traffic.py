"""A recorded day as requests: one for each shopping session, and repeats of them for load."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recsys_assets.monitoring.sessions import sessions_of, to_sessions
from recsys_assets.pipeline.request_log import new_request_id
from recsys_assets.releases.offline import Sessions
from recsys_assets.storage import Store


@dataclass(frozen=True)
class Request:
    """One request. `session` is its row in the day's sessions; -1 for a repeat."""

    request_id: str
    user_id: str
    timestamp: int
    device: str
    session: int


@dataclass(frozen=True)
class DayTraffic:
    """The sessions of a day (YYYY-MM-DD), in the order in which they came."""

    day: str
    sessions: Sessions

    @classmethod
    def of(cls, store: Store, day: str) -> "DayTraffic":
        """Reads it.

        Raises:
            MissingPartition: events or features of the day are missing.
        """
        return cls(day, to_sessions(sessions_of(store, [day])))

    def requests(self) -> Iterator[Request]:
        """Each session once, in order."""
        for row in range(len(self.sessions)):
            yield self._request(row, f"{self.day}-{row}", row)

    def repeats(self, seed: int) -> Iterator[Request]:
        """Sessions drawn at random for ever, as probes: load that the request log leaves out.

        A day without any session has nothing to repeat.
        """
        random = np.random.default_rng(seed)
        while len(self.sessions):
            row = int(random.integers(len(self.sessions)))
            yield self._request(row, new_request_id(probe=True), -1)

    def _request(self, row: int, request_id: str, session: int) -> Request:
        sessions = self.sessions
        return Request(
            request_id,
            str(sessions.user_id[row]),
            int(sessions.timestamp[row]),
            str(sessions.device[row]),
            session,
        )
