"""What a shop says of its items between two releases: the state of each, and a changelog.

The state of an item is what departs from the release, so an item that is as released takes no
room. Every call is one entry of a stream, which is cut at its old end, and names the entry before
it. A reader that finds another than its own there has missed some, since they were cut off or the
store has forgotten, and reads the states instead. One script writes both, so that the last call to
be acknowledged wins and nobody finds a state without its entry. Runs in both environments.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import redis

from recsys_assets.storage.online_store import open_store

ITEMS = "recsys:items"
CHANGES = f"{{{ITEMS}}}:changes"  # in the slot of the states
START = "0-0"
_KEPT = 1000  # entries; a reader misses more in the time of some seconds only
_STATES, _ENTRIES = 1000, 100  # a read; a body of a thousand items is one entry

_MALFORMED = (KeyError, ValueError, TypeError, AttributeError)

# Fields are null where they are as released.
_PUT = """
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
local states, grown = {}, 0
for i = 3, #ARGV, 2 do
  local kept = redis.call('HGET', KEYS[1], ARGV[i])
  local state = kept and cjson.decode(string.match(kept, '{.*')) or {}
  local changes = false
  for name, value in pairs(cjson.decode(ARGV[i + 1])) do
    if value == cjson.null then value = nil end
    changes = changes or state[name] ~= value
    state[name] = value
  end
  if changes then
    states[ARGV[i]] = state
    grown = grown + (next(state) and 1 or 0) - (kept and 1 or 0)
  end
end
if not next(states) then return 1 end
if grown > 0 and redis.call('HLEN', KEYS[1]) + grown > tonumber(ARGV[1]) then return 0 end
local place = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*',
  'after', last and last[1] or '0-0', 'states', cjson.encode(states))
for item, state in pairs(states) do
  if next(state) then
    redis.call('HSET', KEYS[1], item, string.match(place, '%d+') .. ' ' .. cjson.encode(state))
  else
    redis.call('HDEL', KEYS[1], item)
  end
end
return 1
"""


class UnreadableState(ValueError):
    """The store holds something that is no state of an item; the message says where and what."""


@dataclass(frozen=True)
class ItemState:
    """What holds of an item now; by default what the release says.

    Attributes:
        available: it can be had. What is sold out comes back.
        withdrawn: the shop has taken it off its shelves.
    """

    available: bool = True
    withdrawn: bool = False

    @property
    def is_on_sale(self) -> bool:
        """Whether a slate may show it."""
        return self.available and not self.withdrawn

    @classmethod
    def of(cls, departing: Mapping[str, Any]) -> "ItemState":
        """Of what departs from the release; fields of later versions are passed over."""
        return cls(**{name: value for name, value in departing.items() if name in AS_RELEASED})


AS_RELEASED: Mapping[str, bool] = asdict(ItemState())


@dataclass(frozen=True)
class KnownState:
    """The state of an item, and since when it has been so; None if it is as released."""

    state: ItemState
    since: datetime | None

    def as_json(self) -> dict[str, object]:
        """The state's fields, and `since` as ISO 8601."""
        return {**asdict(self.state), "since": self.since and self.since.isoformat()}


@dataclass(frozen=True)
class ItemEntry:
    """One call: its place in the stream, that of the call before, and the new states by item."""

    place: str
    after: str
    states: Mapping[str, ItemState]

    @property
    def moment(self) -> float:
        """When it was written, epoch seconds by the store's clock."""
        return seconds_of(self.place)


class ItemChanges:
    """Writes and reads states and changes.

    Args:
        client: of `storage.online_store.open_store`; it must not retry by itself.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def put(self, changes: Mapping[str, Mapping[str, bool]], most: int) -> bool:
        """Changes the given fields of items, all of them or none.

        Args:
            changes: by item id, new values of fields of `ItemState`.
            most: items that may depart from the release, a bound for the memory of the store.

        Returns:
            False if there would be more, and nothing is changed.

        Raises:
            redis.RedisError: the store does not answer, and may or may not have them.
        """
        arguments: list[str] = []
        for item_id, change in changes.items():
            departing = {
                name: None if value == AS_RELEASED[name] else value
                for name, value in change.items()
            }
            arguments += item_id, json.dumps(departing)
        return bool(self._client.eval(_PUT, 2, ITEMS, CHANGES, most, _KEPT, *arguments))

    def state_of(self, item_id: str) -> KnownState:
        """Of any id, whether or not a release holds it."""
        kept = self._client.hget(ITEMS, item_id)
        if kept is None:
            return KnownState(ItemState(), None)
        milliseconds, state = _kept(item_id.encode(), kept)
        return KnownState(state, datetime.fromtimestamp(milliseconds / 1000, UTC))

    def count(self) -> int:
        """Items that depart from the release."""
        return int(self._client.hlen(ITEMS))

    def states(self) -> Iterator[tuple[str, ItemState]]:
        """Of all items that depart from the release, in pages, some perhaps twice.

        What is changed meanwhile may be told or not: the changes since before the call tell.
        """
        for item_id, kept in self._client.hscan_iter(ITEMS, count=_STATES):
            yield item_id.decode(), _kept(item_id, kept)[1]

    def off_sale(self) -> frozenset[str]:
        """Ids of the items that no slate may show now."""
        return off_sale(dict(self.states()))

    def last(self) -> str:
        """The place of the newest entry; `START` if there is none."""
        found = self._client.xrevrange(CHANGES, count=1)
        return found[0][0].decode() if found else START

    def after(self, place: str, wait_seconds: float = 0.0) -> list[ItemEntry]:
        """The entries after a place, of which more may be left.

        Args:
            place: of an entry.
            wait_seconds: for the first one, if there is none yet.

        Raises:
            redis.RedisError: the store does not answer.
            UnreadableState: an entry is none of `put`.
        """
        block = round(wait_seconds * 1000) or None
        found = self._client.xread({CHANGES: place}, count=_ENTRIES, block=block)
        return [_entry(*entry) for _, entries in found for entry in entries]


def off_sale(states: Mapping[str, ItemState]) -> frozenset[str]:
    """Ids of the items that no slate may show."""
    return frozenset(item_id for item_id, state in states.items() if not state.is_on_sale)


def off_sale_items(url: str) -> frozenset[str]:
    """Ids of the items that no slate may show now, by the online store at `url`.

    Raises:
        redis.RedisError: it does not answer.
    """
    with open_store(url) as client:
        return ItemChanges(client).off_sale()


def as_number(place: str) -> tuple[int, int]:
    """A place of the stream, to be compared with others."""
    milliseconds, number = place.split("-")
    return int(milliseconds), int(number)


def seconds_of(place: str) -> float:
    """When the entry at a place was written, epoch seconds by the store's clock."""
    return as_number(place)[0] / 1000


def _entry(place: bytes, found: Mapping[bytes, bytes]) -> ItemEntry:
    try:
        states = json.loads(found[b"states"])
        by_item = {item_id: ItemState.of(departing) for item_id, departing in states.items()}
        return ItemEntry(place.decode(), found[b"after"].decode(), by_item)
    except _MALFORMED as error:
        raise UnreadableState(f"{CHANGES} {place!r} holds {found!r:.100}: {error!r}") from None


@lru_cache(maxsize=1000)  # a million items have few states between them
def _state(departing: bytes) -> ItemState:
    return ItemState.of(json.loads(departing))


def _kept(item_id: bytes, value: bytes) -> tuple[int, ItemState]:
    """Since when, in milliseconds, and the state, of a value of the hash."""
    try:
        milliseconds, departing = value.split(b" ", 1)
        return int(milliseconds), _state(departing)
    except _MALFORMED as error:
        raise UnreadableState(f"{ITEMS} {item_id!r} holds {value!r:.100}: {error!r}") from None
