"""Content assets and their checks: embeddings of texts and of pictures.

Encoding is in `content/`. Metadata shows nearest neighbours of a few texts and pictures, so that a
person can see what the vectors hold.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg
import numpy as np

from recsys_assets.content.item_images import SCHEMA, TABLE, ItemImages
from recsys_assets.content.neighbours import nearest
from recsys_assets.content.pictures import FAULTS
from recsys_assets.defs.code_version import code_version
from recsys_assets.defs.resources import (
    ImageEncoderResource,
    SourceResource,
    StoreResource,
    TextEncoderResource,
)
from recsys_assets.runtime.pace import paced
from recsys_assets.terminal.figures import as_markdown

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
    neighbours = nearest_as_markdown(result.texts, encoded.embeddings)
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


_IMAGE_MEANINGS = {
    "item_id": "an item of `items` that names an image",
    "image": "as in `items`",
    "image_version": "changes whenever the file is replaced",
    "image_sha256": "digest of the file",
    "embedding": "vector of the picture, of unit norm; null where it cannot be used",
    "fault": f"why it cannot be used: {', '.join(FAULTS)}; else null",
    "reason": "the fault in words",
}
_IMAGE_SCHEMA = dg.TableSchema(
    columns=[
        dg.TableColumn(one.name, str(one.type), description=_IMAGE_MEANINGS[one.name])
        for one in SCHEMA
    ]
)
_IMAGE_LINEAGE = dg.TableColumnLineage(
    {
        "item_id": [dg.TableColumnDep(dg.AssetKey("items"), "item_id")],
        **{
            name: [dg.TableColumnDep(dg.AssetKey("items"), "image")]
            for name in SCHEMA.names
            if name != "item_id"
        },
    }
)
_MOST_UNUSABLE = 0.01


@dg.asset(
    group_name="content",
    owners=["team:ml"],
    kinds={"python", "onnx", "parquet"},
    code_version=code_version("recsys_assets.content.item_images"),
    deps=["items"],
    description=(
        "Vector of every item's picture, by EfficientNet-Lite0 or the encoder of "
        "RECSYS_IMAGE_ENCODER; or why it cannot be used. Each distinct picture is encoded once; "
        "pictures that this encoder version has seen before come from the cache "
        "`image_embeddings`. Items without an image are left out."
    ),
    metadata={"dagster/column_schema": _IMAGE_SCHEMA, "dagster/column_lineage": _IMAGE_LINEAGE},
)
def item_image_embeddings(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    source: SourceResource,
    image_encoder: ImageEncoderResource,
) -> dg.MaterializeResult:
    """Encodes the catalogue's pictures and writes the table `item_image_embeddings`."""
    from recsys_assets.content.item_images import embed_item_images

    progress = paced(context.log.info, "pictures")
    result = embed_item_images(store.get(), source.url, image_encoder.get, progress)
    metadata: dict[str, Any] = {
        "dagster/row_count": result.with_image,
        "items": result.items,
        "items_without_image": result.items - result.with_image,
        "embedded": result.embedded,
        **result.faults,
        "dagster/column_schema": _IMAGE_SCHEMA,
        "dagster/column_lineage": _IMAGE_LINEAGE,
    }
    if result.encoder is not None:
        metadata |= {
            "distinct_pictures": result.pictures,
            "newly_encoded": result.newly_encoded,
            "seconds": result.seconds,
            "encoder": result.encoder.version,
            "dimensions": result.encoder.dimensions,
        }
    if result.examples:
        metadata["unusable"] = dg.MetadataValue.md(_unusable_as_markdown(result))
    if result.contact_sheet is not None:
        sheet = as_markdown(result.contact_sheet, "pictures, each with those nearest to it")
        metadata["nearest_pictures"] = dg.MetadataValue.md(sheet)
    return dg.MaterializeResult(data_version=dg.DataVersion(result.digest), metadata=metadata)


@dg.asset_check(
    asset="item_image_embeddings",
    description="At most 1 % of the items that name an image have one that cannot be used; the "
    "metadata has the share of each fault, and the table each reason.",
)
def item_images_are_usable(store: StoreResource) -> dg.AssetCheckResult:
    """Tells of pictures that were not delivered, or not as they should be, and stops nothing."""
    from collections import Counter

    faults = Counter(store.get().table(TABLE).read(columns=["fault"])["fault"].to_pylist())
    items = max(1, faults.total())
    shares = {f"share_{kind}": faults[kind] / items for kind in FAULTS}
    return dg.AssetCheckResult(
        passed=sum(shares.values()) <= _MOST_UNUSABLE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"items_with_image": faults.total(), **shares},
    )


def _unusable_as_markdown(result: ItemImages) -> str:
    lines = ["| item | image | fault | reason |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(map(_escape, example))} |" for example in result.examples]
    rest = sum(result.faults.values()) - len(result.examples)
    return "\n".join(lines) + (f"\n\n{rest} more are in the table." if rest > 0 else "")


def nearest_as_markdown(texts: Sequence[str], embeddings: np.ndarray) -> str:
    """Some texts with those nearest to them, as a Markdown table.

    Args:
        texts: n distinct texts.
        embeddings: float32 [n, d] of unit norm.
    """
    lines = ["| text | nearest texts (cosine) |", "|---|---|"]
    for row, others in nearest(embeddings, examples=6, neighbours=3):
        cell = "<br>".join(f"{_escape(texts[other])} ({cosine:.2f})" for other, cosine in others)
        lines.append(f"| {_escape(texts[row])} | {cell} |")
    return "\n".join(lines)


def _escape(text: str, limit: int = 120) -> str:
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut.replace("|", "\\|").replace("\n", " ")
