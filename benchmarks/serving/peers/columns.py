"""Which features the lookups ask Feast for, as the release's models take them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.serving.peers.options import Options
from recsys_assets.features.declarations import ITEM_FEATURES, USER_FEATURES, FeatureSet
from recsys_assets.pipeline.query import USER_COLUMNS
from recsys_assets.pipeline.rank import ITEMS


@dataclass(frozen=True)
class LookupColumns:
    """Features of one kind of entity: names of texts and of numbers, in the order looked up.

    Attributes:
        key: join key of the entity.
        texts: attributes, and activity that is text.
        numbers: activity that is a number.
        declared: the feature set; what is not in it is an attribute.
        attributes: the view of the attributes.
    """

    key: str
    texts: tuple[str, ...]
    numbers: tuple[str, ...]
    declared: FeatureSet
    attributes: str

    @classmethod
    def of_users(cls, options: Options) -> "LookupColumns":
        """What the query tower and the ranker take of a user."""
        names = json.loads(options.file(USER_COLUMNS).read_text(encoding="utf-8"))
        return cls._of(names, USER_FEATURES, "user_attributes")

    @classmethod
    def of_items(cls, options: Options) -> "LookupColumns":
        """What the ranker takes of an item, but for promotions: they are planned ahead."""
        schema = pq.read_schema(options.file(ITEMS))
        attributes = [
            field.name
            for field in schema
            if pa.types.is_string(field.type) and field.name != ITEM_FEATURES.key
        ]
        return cls._of([*attributes, *ITEM_FEATURES.columns], ITEM_FEATURES, "item_attributes")

    @classmethod
    def _of(cls, names: Sequence[str], declared: FeatureSet, attributes: str) -> "LookupColumns":
        numbers = [name for name in names if declared.columns.get(name, "string") != "string"]
        texts = [name for name in names if name not in numbers]
        return cls(declared.key, tuple(texts), tuple(numbers), declared, attributes)

    def references(self, names: Sequence[str]) -> list[str]:
        """Feast's `view:feature` of each name."""
        declared = self.declared.columns
        return [
            f"{self.declared.name if name in declared else self.attributes}:{name}"
            for name in names
        ]
