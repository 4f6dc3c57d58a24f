"""Judges changes of items, and keeps all of a request that can be accepted, or none of them."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import redis

from recsys_assets.events.contract import MAX_ID_BYTES
from recsys_assets.pipeline.circuit import Circuit, StoreUnavailable
from recsys_assets.pipeline.item_changes import AS_RELEASED, ItemChanges
from recsys_assets.storefront.bodies import (
    FULL_SECONDS,
    RETRY_SECONDS,
    NotKept,
    UnusableValue,
    parsed,
    parsed_array,
    short,
)

ITEM_ID = "item_id"
_LOG = logging.getLogger(__name__)
_FIELDS = ", ".join(AS_RELEASED)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ItemLimits:
    """What one service takes on.

    Attributes:
        most_bytes: of a body.
        most_items: of a body.
        most_told: items that depart from the release, some 100 bytes each.
    """

    most_bytes: int = 200_000
    most_items: int = 1000
    most_told: int = 1_000_000


DEFAULT_ITEM_LIMITS = ItemLimits()


@dataclass(frozen=True)
class ItemVerdict:
    """What becomes of the change of one item: it is refused if there is a `reason`."""

    item_id: str | None
    change: Mapping[str, bool]
    reason: str = ""
    detail: str = ""

    def as_answer(self) -> dict[str, Any]:
        """Its part of the answer."""
        told = {ITEM_ID: self.item_id, "accepted": not self.reason}
        return told | ({"reason": self.reason, "detail": self.detail} if self.reason else {})


class ItemIntake:
    """Takes bodies of requests; one serves many threads.

    Args:
        store: whose states and changelog are written.
        limits: of this process.
    """

    def __init__(self, store: redis.Redis, limits: ItemLimits) -> None:
        self.changes = ItemChanges(store)
        self.limits = limits
        self._circuit = Circuit()

    def take_one(self, item_id: str, body: bytes) -> tuple[ItemVerdict, dict[str, object]]:
        """What has become of the change of one item, and how it is now unless that is refused.

        Raises:
            UnusableBody: it is no JSON.
            NotKept: the store is away or full.
        """
        verdict = _judged(item_id, parsed(body, "an object"))
        if verdict.reason:
            return verdict, {}
        self._keep([verdict])
        return verdict, self.state_of(item_id)

    def take_many(self, body: bytes) -> list[ItemVerdict]:
        """What has become of the change of each item of a body.

        Raises:
            UnusableBody: it holds no changes.
            NotKept: the store is away or full; nothing of it is kept.
        """
        verdicts = [
            _judged_part(one) for one in parsed_array(body, "items", self.limits.most_items)
        ]
        self._keep([one for one in verdicts if not one.reason])
        return verdicts

    def state_of(self, item_id: str) -> dict[str, object]:
        """How an item is by what was told of it, known to a release or not.

        Raises:
            UnusableValue: there can be no such id.
            NotKept: the store is away.
        """
        known = self._ask(lambda: self.changes.state_of(_item_id(item_id)))
        return {ITEM_ID: item_id, **known.as_json()}

    def _keep(self, accepted: Sequence[ItemVerdict]) -> None:
        by_item: dict[str, dict[str, bool]] = {}
        for one in accepted:
            if one.item_id is not None:
                by_item.setdefault(one.item_id, {}).update(one.change)
        most = self.limits.most_told
        if by_item and not self._ask(lambda: self.changes.put(by_item, most)):
            raise NotKept(
                f"{most} items are unavailable or withdrawn: make those that are in no release "
                "any more available and not withdrawn, which forgets them, and send this again",
                FULL_SECONDS,
            )

    def _ask(self, question: Callable[[], _Result]) -> _Result:
        try:
            return self._circuit.call(question)
        except StoreUnavailable as error:
            _LOG.warning("states of items are neither changed nor told: %s", error)
            raise NotKept(f"{error}; send it again", RETRY_SECONDS) from None


def _judged_part(given: object) -> ItemVerdict:
    """Of a JSON value that should be an object of what changes, with an item id."""
    if not isinstance(given, Mapping):
        return _judged(None, given)
    change = {name: value for name, value in given.items() if name != ITEM_ID}
    return _judged(given.get(ITEM_ID), change)


def _judged(item_id: object, change: object) -> ItemVerdict:
    try:
        if not isinstance(change, Mapping):
            raise UnusableValue("not_an_object", "item", change, f"an object of {_FIELDS}")
        return ItemVerdict(_item_id(item_id), _change(change))
    except UnusableValue as error:
        told = item_id if isinstance(item_id, str) else None
        return ItemVerdict(told, {}, error.reason, str(error))


def _item_id(given: object) -> str:
    try:
        if isinstance(given, str) and 0 < len(given.encode()) <= MAX_ID_BYTES:
            return given
    except UnicodeEncodeError:  # half a surrogate pair is JSON, but no text
        pass
    raise UnusableValue(
        "unusable_item_id", ITEM_ID, given, f"a string of 1 to {MAX_ID_BYTES} bytes"
    )


def _change(given: Mapping[str, object]) -> dict[str, bool]:
    """New values of fields of an item's state."""
    change: dict[str, bool] = {}
    if not given:
        raise UnusableValue("no_change", "item", given, f"one of {_FIELDS}")
    for name, value in given.items():
        if name not in AS_RELEASED:
            raise UnusableValue("unknown_field", short(name), value, f"only {_FIELDS}")
        if not isinstance(value, bool):
            raise UnusableValue(f"unusable_{name}", name, value, "true or false")
        change[name] = value
    return change
