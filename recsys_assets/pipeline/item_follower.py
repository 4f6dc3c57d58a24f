"""Keeps `AvailableItems` up to date: one thread of a server that follows the changelog of items.

It reads all states once, with the changes that come meanwhile, and then one change after another.
Where it has missed some, as the changelog was cut off beyond its place or the store has forgotten,
it reads the states again. While the store is away what was known last is used.
"""

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from recsys_assets.pipeline.available_items import AvailableItems
from recsys_assets.pipeline.item_changes import (
    ItemChanges,
    ItemEntry,
    ItemState,
    UnreadableState,
    as_number,
    off_sale,
    seconds_of,
)
from recsys_assets.storage.online_store import STORE_ERRORS

_LOG = logging.getLogger(__name__)

_WAIT_SECONDS = 0.5  # for a change, before the store is asked whether it still knows the last one
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class _MissedChanges(Exception):
    """The next entry does not follow the last one that was taken."""


@dataclass(frozen=True)
class FollowerState:
    """How far a follower is.

    Attributes:
        position: when the last change it has taken was written, epoch seconds by the store's
            clock; 0 where there is none.
        age: seconds since the store has last said what there is; since the start if it never has.
        off_sale: items of the release that no slate shows.
    """

    position: float
    age: float
    off_sale: int


class ItemFollower:
    """Follows the changelog in a background thread, from `start` on.

    Args:
        changes: over a client whose calls may take longer than the wait for a change.
        items: what is kept up to date.
    """

    def __init__(self, changes: ItemChanges, items: AvailableItems) -> None:
        self._changes, self._items = changes, items
        self._place: str | None = None  # of the last entry taken; None if all is to be read
        self._answered_at = time.monotonic()
        self._tried = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, seconds: float) -> None:
        """Begins, and waits until all states are known or could not be read, but no longer."""
        self._begin()
        self._tried.wait(seconds)

    def close(self, seconds: float = 1.0) -> None:
        """Ends it, within the wait for a change if the store answers."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(seconds)

    def state(self) -> FollowerState:
        """How far it is; a thread that has died of something unforeseen is replaced."""
        if self._thread is not None and not self._thread.is_alive() and not self._closing.is_set():
            self._begin()
        place = self._place
        return FollowerState(
            position=0.0 if place is None else seconds_of(place),
            age=time.monotonic() - self._answered_at,
            off_sale=self._items.count_off_sale(),
        )

    def _begin(self) -> None:
        # A daemon: a store that does not answer must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="item-follower", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing.is_set():
            try:
                self._step()
            except (*STORE_ERRORS, UnreadableState) as error:
                if isinstance(error, UnreadableState):
                    self._place = None
                if pause == _FIRST_PAUSE:
                    _LOG.warning("items stay as they were, changes cannot be read: %r", error)
                self._tried.set()
                self._closing.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                if pause > _FIRST_PAUSE:
                    _LOG.warning("changes of items are read again")
                pause = _FIRST_PAUSE

    def _step(self) -> None:
        try:
            if self._place is None:
                self._read_states()
            else:
                self._follow(self._place)
        except _MissedChanges:
            _LOG.warning("changes of items were missed: the states of all are read")
            self._place = None
        self._answered_at = time.monotonic()

    def _read_states(self) -> None:
        """Takes over all states, as of a place that is the last one once they are read."""
        place = self._changes.last()
        states = dict(self._changes.states())
        while entries := self._changes.after(place):
            place = _followed(place, entries)
            states.update(_together(entries))
        self._items.replace(off_sale(states))
        self._place = place
        self._tried.set()

    def _follow(self, place: str) -> None:
        entries = self._changes.after(place, _WAIT_SECONDS)
        if entries:
            reached = _followed(place, entries)
            states = _together(entries)
            self._items.change({item_id: state.is_on_sale for item_id, state in states.items()})
            self._place = reached
        elif as_number(self._changes.last()) < as_number(place):
            raise _MissedChanges  # the store knows less than it did


def _followed(place: str, entries: Sequence[ItemEntry]) -> str:
    """The place of the last of the entries, if each follows the one before it, the first `place`.

    Raises:
        _MissedChanges: one does not.
    """
    for entry in entries:
        if entry.after != place:
            raise _MissedChanges
        place = entry.place
    return place


def _together(entries: Sequence[ItemEntry]) -> dict[str, ItemState]:
    """The last state of each item."""
    return {item_id: state for entry in entries for item_id, state in entry.states.items()}
