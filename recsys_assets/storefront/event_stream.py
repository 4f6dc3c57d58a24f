"""Accepted events on their way to files: a Valkey stream, and what of it is being landed.

Nothing is ever half done, as each change of the stream is one script (Valkey runs it alone):

- `append` adds all events of a request, or none.
- `take` cuts the oldest events off as a batch and writes down where the cut is. Until the batch is
  settled everybody who takes gets this very batch: after a crash, or beside a second process that
  should not run, the same files are written again with the same content.
- `settle` removes the batch and the cut.

A consumer group would say who has read what, not where one batch ends: after a crash between the
file and its acknowledgement, what is pending and what is new would be read as one batch, and be
written under another name beside the first.

At least once, then: an event that is posted again, because its answer was lost, is dropped by its
id here if its first time was settled an hour or two ago, and by the day's ingest in any case, as
rows that agree in every column are one. What has the id of another event is no repetition of it:
each id is remembered with a digest of its row.

What a store acknowledged it may still forget: with `appendfsync everysec` a machine that loses
power forgets a second, and a failover what the replica had not yet. Where that is too much, use
`appendfsync always`, MemoryDB, or Kafka (see `event_landing.py`).
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain

import redis

STREAM = "recsys:events"
# In the stream's slot of a cluster.
_CUT = f"{{{STREAM}}}:cut"
_LANDED = f"{{{STREAM}}}:landed-rows"
_PAGE = 1000  # entries a read: more would keep the store from its other readers for too long
_HOUR = 3600
_REMEMBERED_SECONDS = 2 * _HOUR

_APPEND = """
if redis.call('XLEN', KEYS[1]) + (#ARGV - 1) / 3 > tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 3 do
  redis.call('XADD', KEYS[1], '*', 'id', ARGV[i], 'made', ARGV[i + 1], 'row', ARGV[i + 2])
end
return 1
"""
# Not beside another cut, nor where that has been settled since the entries were read.
_CUT_OFF = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
return 1
"""
_SETTLE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('XTRIM', KEYS[1], 'MINID', ARGV[2])
redis.call('DEL', KEYS[2])
return 1
"""


@dataclass(frozen=True)
class EventEntry:
    """One event as it lies in the stream; nothing is known of it but that somebody wrote it."""

    place: str
    fields: Mapping[bytes, bytes]

    @property
    def event_id(self) -> str:
        """Empty if it has none."""
        return _text(self.fields.get(b"id", b""))

    @property
    def row(self) -> str:
        """The event as JSON; empty if it has none."""
        return _text(self.fields.get(b"row", b""))

    def as_text(self) -> str:
        """All fields as JSON, for people."""
        return json.dumps({_text(name): _text(value) for name, value in self.fields.items()})

    @property
    def is_named(self) -> bool:
        """Whether its id came from a caller, who may send it again."""
        return self.fields.get(b"made") == b"0"


@dataclass(frozen=True)
class Landed:
    """An event that is in a file: where its entry was in the stream, and its row's digest."""

    place: str
    digest: str


@dataclass(frozen=True)
class Batch:
    """The oldest entries, up to a cut that stays until they are settled."""

    entries: list[EventEntry]
    cut: str

    @property
    def name(self) -> str:
        """The same whenever the batch is taken, and no other batch's."""
        return "-".join(self.cut.split())

    @property
    def day(self) -> date:
        """The UTC day on which its first entry came, by the store's clock."""
        return datetime.fromtimestamp(int(self.cut.split("-")[0]) / 1000, UTC).date()


class EventStream:
    """Writes and reads the stream.

    Args:
        client: of `storage.online_store.open_store`; it must not retry by itself.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def append(self, events: Sequence[tuple[str, bool, str]], most: int) -> bool:
        """Adds all events, or none where the stream would then hold more than `most`.

        Args:
            events: id, whether it was made here, and row as JSON.
            most: a bound for the memory of the store, which holds more than this stream.

        Returns:
            Whether they were added.

        Raises:
            redis.RedisError: the store does not answer, and may or may not have them.
        """
        arguments = chain.from_iterable((given, int(made), row) for given, made, row in events)
        return bool(self._client.eval(_APPEND, 1, STREAM, most, *arguments))

    def length(self) -> int:
        """Events that are not landed yet."""
        return int(self._client.xlen(STREAM))

    def take(self, most: int) -> Batch | None:
        """The batch to be landed: the one not settled yet, or up to `most` entries anew.

        Raises:
            redis.RedisError: the store does not answer.
        """
        while True:
            cut = self._cut()
            if cut:
                first, last = cut.split()
                entries = list(self._read(first, last))
                if self._cut() != cut:
                    continue  # somebody else has settled it meanwhile
                return Batch(entries, cut)
            entries = list(self._read("-", "+", most))
            if not entries:
                return None
            first, last = entries[0].place, entries[-1].place
            if self._client.eval(_CUT_OFF, 2, STREAM, _CUT, first, last):
                return Batch(entries, f"{first} {last}")

    def landed_before(self, batch: Batch, now: float) -> dict[str, Landed]:
        """Events landed lately, by id, whose ids entries of a batch have.

        Args:
            batch: of `take`.
            now: epoch seconds.
        """
        ids = list(dict.fromkeys(entry.event_id for entry in batch.entries if entry.is_named))
        found: dict[str, Landed] = {}
        for start in range(0, len(ids), _PAGE):
            page = ids[start : start + _PAGE]
            for key in (_landed(now), _landed(now - _HOUR)):  # the first landing of an id counts
                values = self._client.hmget(key, page)
                found |= {
                    event_id: Landed(*value.decode().split())
                    for event_id, value in zip(page, values, strict=True)
                    if value
                }
        return found

    def remember(self, named: Mapping[str, Landed], now: float) -> None:
        """Remembers ids for `landed_before`, in steps that nobody else has to wait for.

        Remembered again, they are the same: a batch that is not settled after all is no repetition
        of itself.

        Args:
            named: ids that callers gave, with what was landed.
            now: epoch seconds.
        """
        key = _landed(now)
        items = [(event_id, f"{one.place} {one.digest}") for event_id, one in named.items()]
        for start in range(0, len(items), _PAGE):
            self._client.hset(key, mapping=dict(items[start : start + _PAGE]))
        if items:
            self._client.expire(key, _REMEMBERED_SECONDS)

    def settle(self, batch: Batch) -> bool:
        """Removes the entries of a batch whose files are written.

        Returns:
            False if somebody else has settled it.
        """
        milliseconds, number = batch.cut.split()[1].split("-")
        first_kept = f"{milliseconds}-{int(number) + 1}"
        return bool(self._client.eval(_SETTLE, 2, STREAM, _CUT, batch.cut, first_kept))

    def _cut(self) -> str:
        return (self._client.get(_CUT) or b"").decode()

    def _read(self, first: str, last: str, most: int | None = None) -> Iterator[EventEntry]:
        """Entries of a range, in pages."""
        left = most
        while left is None or left > 0:
            count = _PAGE if left is None else min(_PAGE, left)
            page = self._client.xrange(STREAM, first, last, count=count)
            for place, fields in page:
                yield EventEntry(place.decode(), fields or {})
            if len(page) < count:
                return
            first = f"({page[-1][0].decode()}"
            left = None if left is None else left - count


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _landed(moment: float) -> str:
    return f"{_LANDED}:{int(moment) // _HOUR}"
