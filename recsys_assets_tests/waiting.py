"""Waiting for a state in a test: a limit against a hang, and no guess about speed."""

import os
from collections.abc import Callable
from typing import TypeVar

from recsys_assets.waiting import wait_for

T = TypeVar("T")

# Of every wait in a test. A slower machine raises it; nothing that passes takes longer for it.
LIMIT = float(os.environ.get("RECSYS_TEST_WAIT_SECONDS", "300"))


def eventually(look: Callable[[], T | None], what: str, seconds: float = LIMIT) -> T:
    """What `look` finds in the end; what it asserts or raises fails at once."""
    return wait_for(look, what, seconds)
