"""How many answers wait in the online store for the request log to be collected."""

from dataclasses import dataclass, field

import redis

from recsys_assets.monitoring.answer_stream import length
from recsys_assets.storage.online_store import STORE_ERRORS


@dataclass
class UncollectedAnswers:
    """Asks the online store again and again.

    Attributes:
        client: of it.
        limit: beyond which answers are not logged any more.
        count: when it was asked last; NaN before, and while it does not answer.
    """

    client: redis.Redis
    limit: int
    count: float = field(default=float("nan"), init=False)

    def look(self) -> None:
        """Asks once."""
        try:
            self.count = length(self.client)
        except STORE_ERRORS:
            self.count = float("nan")  # that it is away others tell
