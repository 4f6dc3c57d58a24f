"""Encoded numbers of candidates at the moment of a request. Runs in both environments."""

from collections import OrderedDict
from collections.abc import Mapping

import numpy as np

from recsys_assets.features.declarations import ITEM_FEATURES
from recsys_assets.features.encoding import Encoding
from recsys_assets.features.request_time import age_days
from recsys_assets.retrieval.item_history import WEEK, Changes, promotions_at

Columns = Mapping[str, np.ndarray]

_AGE = "age_days"
_SPANS = 4  # of time, whose promotions are kept


class ItemNumbers:
    """Activity as of the release, promotions and age of the moment.

    Promotions change on few moments, weekly as a rule, so all items' numbers are kept encoded for
    the latest spans of time without a change, at 4 bytes a number. Only the age is encoded for
    every request.

    Args:
        encoding: of the items.
        item_columns: activity of all m items, as of the release.
        promotions: of the items, around the moments to come.
    """

    def __init__(self, encoding: Encoding, item_columns: Columns, promotions: Changes) -> None:
        self._encoding = encoding
        self._columns = {name: item_columns[name] for name in ITEM_FEATURES.columns}
        self._promotions = promotions
        self._changes = promotions.moments()
        self._spans: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()
        names = list(encoding.normalisers)
        self._age = Encoding({}, {_AGE: encoding.normalisers[_AGE]})
        self._age_places = [names.index(_AGE), names.index(_AGE) + len(names)]

    def at(self, moments: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Numbers and their indicators, float32 [m, dense width].

        Args:
            moments: int64 [m], epoch seconds.
            rows: int64 [m], positions among the items.
        """
        now = np.searchsorted(self._changes, moments, side="right")
        before = np.searchsorted(self._changes, moments - WEEK, side="right")
        if (now == now[0]).all() and (before == before[0]).all():
            numbers = self._at_span(int(now[0]), int(before[0]), int(moments[0]))[rows]
        else:
            numbers = np.empty((len(rows), self._encoding.dense_width), dtype=np.float32)
            spans, which = np.unique(np.stack([now, before], axis=1), axis=0, return_inverse=True)
            for number, (one, other) in enumerate(spans.tolist()):
                mine = np.flatnonzero(which.ravel() == number)
                encoded = self._at_span(one, other, int(moments[mine[0]]))
                numbers[mine] = encoded[rows[mine]]
        age = age_days(moments, self._columns["first_sold_at"][rows])
        numbers[:, self._age_places] = self._age.encode_dense({_AGE: age})
        return numbers

    def _at_span(self, now: int, before: int, moment: int) -> np.ndarray:
        """All items' numbers, float32 [items, dense width], as of a moment in the span; no age."""
        span = (now, before)
        if span not in self._spans:
            rows = np.arange(len(self._columns["first_sold_at"]))
            planned = promotions_at(self._promotions, rows, np.array([moment]))
            ageless = {_AGE: np.full(len(rows), np.nan)}
            encoded = self._encoding.encode_dense({**self._columns, **planned, **ageless})
            self._spans[span] = encoded
            while len(self._spans) > _SPANS:
                self._spans.popitem(last=False)
        self._spans.move_to_end(span)
        return self._spans[span]
