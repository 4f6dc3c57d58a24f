"""First-time purchases as training arrays, and the batches drawn from them, for both models.

Plain numpy. Runs in both environments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys_assets.events.contract import distinct
from recsys_assets.features.declarations import USER_FEATURES
from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.features.request_time import CONTEXT_FEATURES
from recsys_assets.models.inputs import with_age, with_request
from recsys_assets.models.item_history import ItemHistory, numbers, strings

Columns = dict[str, np.ndarray]
DAY_SECONDS = 86_400


class UnusableExamples(ValueError):
    """`training_examples` cannot train a model; the message says why and what to do."""


@dataclass(frozen=True)
class Examples:
    """Rows of `training_examples` on items of the catalogue.

    Attributes:
        user: user columns as of the example, request-time features not among them.
        item: int64 [n], row in the catalogue.
        timestamp: int64 [n], epoch seconds.
        validation: bool [n], True in the last days of the span.
    """

    user: Columns
    item: np.ndarray
    timestamp: np.ndarray
    validation: np.ndarray

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: np.ndarray) -> "Examples":
        """The given rows, by number or by mask."""
        return Examples(
            {name: values[rows] for name, values in self.user.items()},
            self.item[rows],
            self.timestamp[rows],
            self.validation[rows],
        )


def from_table(table: pa.Table, user_attributes: Sequence[str], item_ids: np.ndarray) -> Examples:
    """Reads `training_examples`.

    Args:
        table: its rows.
        user_attributes: categorical columns of `users` without the key; one that no example has
            yet is missing in all.
        item_ids: the catalogue, object [items].

    Raises:
        UnusableExamples: there is nothing to train or to validate on.
    """
    item = pc.index_in(table.column("item_id"), value_set=pa.array(item_ids, pa.string()))
    known = pc.is_valid(item)
    table, item = table.filter(known), item.filter(known)
    for name in set(user_attributes).difference(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), pa.string()))
    dtypes = {
        "user_id": "string",
        "device": "string",
        **dict.fromkeys(user_attributes, "string"),
        **USER_FEATURES.columns,
    }
    seconds = pc.divide(table.column("timestamp").cast(pa.int64()), 1_000_000)
    examples = Examples(
        user={
            name: (strings if dtype == "string" else numbers)(table.column(name))
            for name, dtype in dtypes.items()
        },
        item=item.to_numpy().astype(np.int64),
        timestamp=seconds.to_numpy(),
        validation=strings(table.column("split")) == "validation",
    )
    for split in (False, True):
        if not (examples.validation == split).any():
            raise UnusableExamples(
                f"training_examples hold no purchase for {'validation' if split else 'training'}: "
                "give a longer span (RECSYS_FIRST_DAY, RECSYS_EVALUATION_DAYS, RECSYS_TODAY)"
            )
    return examples


def recency_weights(timestamp: np.ndarray, half_life_days: float) -> np.ndarray:
    """Weights float64 [n] of examples that halve with every `half_life_days` of age, mean 1."""
    age = (timestamp.max() - timestamp) / DAY_SECONDS
    weights = 0.5 ** (age / half_life_days)
    return weights / weights.mean()


def household_weights(user_id: np.ndarray, timestamp: np.ndarray, power: float) -> np.ndarray:
    """Weights float64 [n] by 1 / (purchases of the user in that week) ** power, mean 1.

    The metrics are means over households, so a household that buys one new item in a week
    counts as much as one that buys fifty. With power 0 every purchase counts the same.
    """
    _, user = distinct(user_id)
    week = timestamp // (7 * DAY_SECONDS)
    group = user * (int(week.max()) + 1) + week
    _, position, count = np.unique(group, return_inverse=True, return_counts=True)
    weights = count[position].astype(np.float64) ** -power
    return weights / weights.mean()


def example_weights(examples: Examples, half_life_days: float, power: float) -> np.ndarray:
    """Weights float64 [n] by which examples are drawn: of recency times of the household."""
    recency = recency_weights(examples.timestamp, half_life_days)
    return recency * household_weights(examples.user["user_id"], examples.timestamp, power)


def snapshot_moments(
    timestamp: np.ndarray, random: np.random.Generator, max_age_days: int
) -> np.ndarray:
    """The moments int64 [n] as of which an example sees its item.

    A release holds the item features of its day until the next one replaces it, so a request
    meets features of 0 to `max_age_days` whole days of age; training draws an age for each
    example, else the ranker would trust yesterday's sales more than it can when serving.
    """
    if max_age_days == 0:
        return timestamp
    return timestamp - random.integers(0, max_age_days + 1, len(timestamp)) * DAY_SECONDS


def item_columns(
    history: ItemHistory, rows: np.ndarray, moments: np.ndarray
) -> Mapping[str, np.ndarray]:
    """All item columns of examples: attributes, activity and promotions as of `moments`."""
    attributes = {name: values[rows] for name, values in history.attributes.items()}
    return {
        "item_id": history.item_ids[rows],
        **attributes,
        **history.activity_at(rows, moments),
        **history.promotions_at(rows, moments),
    }


@dataclass(frozen=True)
class Masks:
    """Shares of values hidden in training, so that the unknown rows learn.

    Attributes:
        ids: of user ids, and of item ids.
        attributes: of every other categorical value.
        users: of requests of which everything about the user is hidden, as of a visitor.
    """

    ids: float
    attributes: float
    users: float


@dataclass(frozen=True)
class Catalogue:
    """What is fixed of each item: `ids` int32 [items, columns], `text` float32 [items, t]."""

    ids: np.ndarray
    text: np.ndarray


@dataclass(frozen=True)
class QueryArrays:
    """Encoded requests: `ids` int32 [n, columns], `dense` float32 [n, width]."""

    ids: np.ndarray
    dense: np.ndarray


def encode_catalogue(encoding: ModelEncoding, history: ItemHistory, text: np.ndarray) -> Catalogue:
    """Encodes what is fixed of each item."""
    columns = {"item_id": history.item_ids, **history.attributes}
    return Catalogue(encoding.item.encode_ids(columns), text)


def encode_queries(encoding: ModelEncoding, examples: Examples) -> QueryArrays:
    """Encodes the request side of examples."""
    columns = with_request(examples.user, examples.timestamp, encoding.time_zone)
    batch = encoding.query.transform(columns)
    return QueryArrays(batch.ids, batch.dense)


def encode_items(
    encoding: ModelEncoding,
    history: ItemHistory,
    rows: np.ndarray,
    moments: np.ndarray,
    promoted_at: np.ndarray,
    timestamps: np.ndarray,
) -> np.ndarray:
    """Dense item features float32 [n, width]; all times are epoch seconds int64 [n].

    Args:
        encoding: of the model.
        history: what was known of the items.
        rows: int64 [n], item rows.
        moments: as of which the items' activity is known.
        promoted_at: of which promotions count: the request's time for a ranker, which looks them
            up then; `moments` for embeddings, which are made with the release.
        timestamps: of the requests, to which the items age.
    """
    columns = {**history.activity_at(rows, moments), **history.promotions_at(rows, promoted_at)}
    return encoding.item.encode_dense(with_age(columns, timestamps))


def all_item_columns(history: ItemHistory, examples: Examples) -> dict[str, np.ndarray]:
    """Item columns of examples as of their own time, to fit an encoding on."""
    columns = item_columns(history, examples.item, examples.timestamp)
    return dict(with_age(columns, examples.timestamp))


@dataclass(frozen=True)
class MaskedQueries:
    """A batch of requests with parts hidden.

    Attributes:
        ids: int32 [n, columns].
        dense: float32 [n, width].
        user: int64 [n], user rows by which purchase counts are looked up, 0 where they are hidden.
    """

    ids: np.ndarray
    dense: np.ndarray
    user: np.ndarray


def mask_queries(
    queries: QueryArrays,
    rows: np.ndarray,
    encoding: ModelEncoding,
    masks: Masks,
    random: np.random.Generator,
) -> MaskedQueries:
    """Takes `rows` and hides parts of them: the user id is the first column of `ids`.

    Of a hidden user neither id, attributes, purchase counts nor numbers are left; device and the
    context of the request stay. Where only the id is hidden, purchase counts stay in half of the
    cases: a new user has none yet, and an old one's are worth learning without the id.
    """
    ids, dense = queries.ids[rows], queries.dense[rows]
    user = ids[:, 0].astype(np.int64)
    names = list(encoding.query.vocabularies)
    hidden = random.random(ids.shape) < masks.attributes
    hidden[:, 0] = random.random(len(ids)) < masks.ids
    nobody = random.random(len(ids)) < masks.users
    new = hidden[:, 0] & (random.random(len(ids)) < 0.5)
    of_user = np.array([name != "device" for name in names])
    ids[hidden | (nobody[:, None] & of_user)] = UNKNOWN
    numbers = len(encoding.query.normalisers)
    about_user = numbers - len(CONTEXT_FEATURES)
    dense[nobody, :about_user] = 0.0
    dense[nobody, numbers : numbers + about_user] = 1.0
    return MaskedQueries(ids, dense, np.where(nobody | new, UNKNOWN, user))


def mask_items(ids: np.ndarray, masks: Masks, random: np.random.Generator) -> np.ndarray:
    """A copy of item ids [n, columns] with some hidden; the item's own id is the first column."""
    hidden = random.random(ids.shape) < masks.attributes
    hidden[:, 0] = random.random(len(ids)) < masks.ids
    return np.where(hidden, UNKNOWN, ids).astype(np.int32)


def draw(weights: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Row numbers drawn by weight, with replacement: int64 [`count`, or all rows if fewer]."""
    cumulative = np.cumsum(weights)
    drawn = min(count, int(np.count_nonzero(weights)))
    return np.searchsorted(cumulative, random.random(drawn) * cumulative[-1], side="right")


def batches(rows: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive parts of `size`; a last, smaller part only where there is no other."""
    count = max(len(rows) // size, 1)
    return [rows[start : start + size] for start in range(0, count * size, size)]
