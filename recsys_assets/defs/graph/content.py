"""Content assets and their checks. Encoding is in `encoder.py`, the cache in `catalogue.py`.

Metadata shows nearest neighbours of a few texts, so that a person can see what the vectors hold.
"""

from collections.abc import Sequence

import dagster as dg
import numpy as np

from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.resources import StoreResource, TextEncoderResource
from recsys_assets.runtime.pace import paced

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
    code_version=code_version("recsys_assets.content.catalogue", "recsys_assets.content.encoder"),
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


@dg.asset_check(
    asset="item_text_embeddings",
    blocking=True,
    description="Every item has one embedding; every vector is finite and of unit norm. Items that "
    "were catalogued or withdrawn meanwhile are told of and stop nothing.",
)
def item_text_embeddings_are_sound(store: StoreResource) -> dg.AssetCheckResult:
    """Blocks training on vectors that would poison it."""
    from dataclasses import asdict

    from recsys_assets.content.catalogue import embedding_faults

    faults = embedding_faults(store.get())
    severity = dg.AssetCheckSeverity.ERROR if faults.poison else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(passed=not faults.any, severity=severity, metadata=asdict(faults))


def nearest(
    texts: Sequence[str], embeddings: np.ndarray, examples: int = 6, neighbours: int = 3
) -> list[tuple[str, list[tuple[str, float]]]]:
    """Evenly spread texts, each with its nearest other texts and their cosines.

    Args:
        texts: n distinct texts.
        embeddings: float32 [n, d] of unit norm.
        examples: how many texts to show.
        neighbours: how many others beside each.
    """
    count = len(texts)
    rows = np.unique(np.linspace(0, count - 1, min(examples, count)).astype(int))
    cosines = embeddings[rows] @ embeddings.T
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argsort(-cosines, axis=1, kind="stable")[:, : min(neighbours, count - 1)]
    return [
        (texts[row], [(texts[other], float(cosines[place, other])) for other in best[place]])
        for place, row in enumerate(rows)
    ]


def nearest_as_markdown(found: list[tuple[str, list[tuple[str, float]]]]) -> str:
    """The neighbours as a Markdown table."""
    lines = ["| text | nearest texts (cosine) |", "|---|---|"]
    for text, others in found:
        cell = "<br>".join(f"{_escape(other)} ({cosine:.2f})" for other, cosine in others)
        lines.append(f"| {_escape(text)} | {cell} |")
    return "\n".join(lines)


def _escape(text: str, limit: int = 120) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.replace("|", "\\|").replace("\n", " ")
