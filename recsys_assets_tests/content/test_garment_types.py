"""What the packaged encoder of pictures is worth, on the pictures of a shop of clothes.

MAGENTO_SAMPLE names a folder with those of Magento's sample data (magento2-sample-data), any size;
their licences do not let them be part of this repository. A file is named by SKU and colour, as in
`mh01-black_main.jpg`, and a SKU begins with the type of garment.
"""

import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys_assets.content.image_encoder import open_image_encoder
from recsys_assets.content.item_images import TABLE, embed_item_images
from recsys_assets.settings import load_settings
from recsys_assets.storage import Store

FOLDER = os.environ.get("MAGENTO_SAMPLE", "")
NEAREST = 5
LEAST = 0.672  # by chance .074


@pytest.mark.skipif(
    not FOLDER,
    reason="the pictures may not be part of this repository: set MAGENTO_SAMPLE to their folder",
)
def test_most_of_the_nearest_pictures_are_of_the_same_type_of_garment(tmp_path):
    files = [file.name for file in sorted(Path(FOLDER).glob("*_main.jpg"))]
    store = Store(tmp_path.as_uri())
    store.table("items").write(pa.table({"item_id": files, "image": files}))

    result = embed_item_images(
        store,
        Path(FOLDER).resolve().as_uri(),
        lambda: open_image_encoder(None, load_settings().packaged_data),
    )

    rows = store.table(TABLE).read()
    names = np.array([name.split("-")[0] for name in rows["item_id"].to_pylist()])
    types = np.array([re.match("[a-z]+", name)[0] for name in names])
    vectors = np.stack(rows["embedding"].to_numpy())
    cosines = np.where(names[:, None] == names, -np.inf, vectors @ vectors.T)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
    assert (result.embedded, len(set(types))) == (420, 13)
    assert (types[nearest] == types[:, None]).mean() >= LEAST
