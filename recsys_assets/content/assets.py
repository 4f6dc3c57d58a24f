"""Content assets. Wiring only; encoding is in `sentence_bert.py`, the cache in `cache.py`."""

import dagster as dg

from recsys_assets.code_version import code_version
from recsys_assets.content.resources import TextEncoderResource
from recsys_assets.pace import paced
from recsys_assets.resources import StoreResource

_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn("item_id", "string", description="as in `items`, in its order"),
        dg.TableColumn(
            "embedding",
            "fixed_size_list<float32>",
            description="vector of the item's text, of unit norm",
        ),
    ]
)
_LINEAGE = dg.TableColumnLineage(
    {
        "item_id": [dg.TableColumnDep(dg.AssetKey("items"), "item_id")],
        "embedding": [dg.TableColumnDep(dg.AssetKey("items"), "text")],
    }
)


@dg.asset(
    group_name="content",
    owners=["team:ml"],
    kinds={"python", "onnx", "parquet"},
    code_version=code_version(
        "recsys_assets.content.catalogue", "recsys_assets.content.sentence_bert"
    ),
    deps=["items"],
    description=(
        "Sentence-BERT vector of every item's text. Each distinct text is encoded once; texts "
        "that this encoder version has seen before come from the cache `text_embeddings`."
    ),
    metadata={"dagster/column_schema": _SCHEMA, "dagster/column_lineage": _LINEAGE},
)
def item_text_embeddings(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    text_encoder: TextEncoderResource,
) -> dg.MaterializeResult:
    """Encodes the catalogue's texts and writes the table `item_text_embeddings`."""
    from recsys_assets.content.catalogue import embed_items
    from recsys_assets.content.examples import nearest, nearest_as_markdown

    encoder = text_encoder.get()
    result = embed_items(store.get(), encoder, paced(context.log.info, "texts"))
    encoded = result.encoded
    neighbours = nearest_as_markdown(nearest(result.texts, encoded.embeddings))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(result.digest),
        metadata={
            "dagster/row_count": result.items,
            "distinct_texts": len(result.texts),
            "items_without_text": result.items_without_text,
            "newly_encoded": encoded.newly_encoded,
            "newly_encoded_per_second": encoded.newly_encoded / encoded.seconds,
            "seconds": encoded.seconds,
            "encoder": encoder.version,
            "dimensions": encoder.dimensions,
            "nearest_texts": dg.MetadataValue.md(neighbours),
            "dagster/column_schema": _SCHEMA,
            "dagster/column_lineage": _LINEAGE,
        },
    )
