"""Which columns the models take. Runs in both environments.

The names come from the feature declarations and from the attributes that the shop's `users` and
`items` tables hold, so a declared feature or attribute reaches both models without further ado.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recsys_assets.features import request_time
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES, FeatureSet

Columns = Mapping[str, np.ndarray]

# Moments are not features: request-time features make durations of them.
_MOMENTS = {"last_event_at", "first_sold_at", "last_sold_at"}
_CATEGORY = "category_l2"


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
