"""Encoded examples and the batches drawn from them. Plain numpy."""

from dataclasses import dataclass

import numpy as np

from recsys_assets.features.encoding import UNKNOWN, ModelEncoding
from recsys_assets.features.request_time import CONTEXT_FEATURES
from recsys_assets.retrieval.examples import Examples, item_columns
from recsys_assets.retrieval.inputs import with_age, with_request
from recsys_assets.retrieval.item_history import ItemHistory


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
        user: int64 [n], user rows by which tastes are looked up, 0 where they are hidden.
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

    Of a hidden user neither id, attributes, tastes nor numbers are left; device and the context
    of the request stay. Where only the id is hidden, tastes stay in half of the cases: a new
    user has none yet, and an old one's are worth learning without the id.
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
