"""Merlin schemas of encoded arrays, and what turns matrices into Merlin's named inputs.

Runs in the models environment. A side's categorical columns are one int32 input each; its numbers
are one vector-valued continuous input, for fifty inputs of width one would cost fifty operations.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from merlin.schema import ColumnSchema, Schema


def categorical(
    name: str, cardinality: int, *tags: Any, table: str | None = None
) -> "ColumnSchema":
    """A column of embedding rows; columns with the same `table` share one."""
    from merlin.schema import ColumnSchema, Tags

    domain = {"min": 0, "max": cardinality - 1, "name": table or name}
    return ColumnSchema(
        name, dtype=np.int32, tags=[Tags.CATEGORICAL, *tags], properties={"domain": domain}
    )


def continuous(name: str, *tags: Any) -> "ColumnSchema":
    """A vector of numbers."""
    from merlin.schema import ColumnSchema, Tags

    return ColumnSchema(name, dtype=np.float32, tags=[Tags.CONTINUOUS, *tags])


def side_schema(
    cardinalities: Mapping[str, int],
    vectors: Sequence[str],
    tag: Any,
    tables: Mapping[str, str] | None = None,
) -> "Schema":
    """Schema of one side: its categorical columns, then its vectors, all with `tag`."""
    from merlin.schema import Schema

    shared = tables or {}
    return Schema(
        [
            *(categorical(n, c, tag, table=shared.get(n)) for n, c in cardinalities.items()),
            *(continuous(name, tag) for name in vectors),
        ]
    )


def named(names: Sequence[str], ids: Any) -> dict[str, Any]:
    """The columns of a matrix [n, columns], numpy or TensorFlow, as inputs [n, 1] by name."""
    return {name: ids[:, column : column + 1] for column, name in enumerate(names)}
