"""Which columns the models take, and candidates' numbers at the moment of a request.

Runs in both environments.

The names come from the feature declarations and from the attributes that the shop's `users` and
`items` tables hold, so a declared feature or attribute reaches both models without further ado.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.features import request_time
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES, FeatureSet
from recsys_assets.features.encoding import Encoding
from recsys_assets.features.request_time import age_days
from recsys_assets.models.item_history import WEEK, Changes, promotions_at

Columns = Mapping[str, np.ndarray]
# Moments are not features: request-time features make durations of them.
_MOMENTS = {"last_event_at", "first_sold_at", "last_sold_at"}
_CATEGORY = "category_l2"
_AGE = "age_days"
_SPANS = 4  # of time, whose promotions are kept


@dataclass(frozen=True)
class Inputs:
    """Columns of one side of a model.

    `same_values` maps a categorical column to the item column whose values it holds.
    """

    categorical: tuple[str, ...]
    numeric: tuple[str, ...]
    same_values: Mapping[str, str]


def query_inputs(user_attributes: Sequence[str]) -> Inputs:
    """User id, attributes, windows and context of the request.

    Args:
        user_attributes: categorical columns of `users`, without its key.
    """
    modes = _of_type(USER_FEATURES, text=True)
    return Inputs(
        categorical=("user_id", *user_attributes, *modes, "device"),
        numeric=(
            *_of_type(USER_FEATURES, text=False),
            *request_time.USER_REQUEST_FEATURES,
            *request_time.CONTEXT_FEATURES,
        ),
        same_values={name: _CATEGORY for name in modes if name.startswith("top_category_")},
    )


def item_inputs(item_attributes: Sequence[str]) -> Inputs:
    """Item id, attributes and activity.

    Args:
        item_attributes: categorical columns of `items`, without its key, text and image.
    """
    return Inputs(
        categorical=("item_id", *item_attributes),
        numeric=(
            *_of_type(ITEM_FEATURES, text=False),
            *request_time.ITEM_REQUEST_FEATURES,
        ),
        same_values={},
    )


def with_request(columns: Columns, timestamps: np.ndarray, time_zone: str) -> dict[str, np.ndarray]:
    """User columns [n] with what the moment of the request adds.

    Args:
        columns: of the users.
        timestamps: int64 [n], epoch seconds.
        time_zone: of the model, `ModelEncoding.time_zone`.
    """
    recency = request_time.recency_days(timestamps, columns["last_event_at"])
    return {**columns, "recency_days": recency, **request_time.context(timestamps, time_zone)}


def with_age(columns: Columns, timestamps: np.ndarray) -> dict[str, np.ndarray]:
    """Item columns [n] with their age at `timestamps` (epoch seconds int64 [n] or [1])."""
    return {**columns, "age_days": request_time.age_days(timestamps, columns["first_sold_at"])}


def _of_type(features: FeatureSet, *, text: bool) -> list[str]:
    return [
        name
        for name, dtype in features.columns.items()
        if (dtype == "string") == text and name not in _MOMENTS
    ]


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
