from datetime import date

import pytest

from recsys_assets.events.sources import open_source
from recsys_assets.settings import SOURCES, load_settings

FIRST = date(2025, 1, 1)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_that_can_be_set_can_be_opened(tmp_path, name):
    environment = {"RECSYS_SOURCE": name, "RECSYS_SOURCE_URL": str(tmp_path)}
    if name == "parquet":
        environment["RECSYS_FIRST_DAY"] = FIRST.isoformat()
    settings = load_settings(environment)

    source = open_source(
        settings.source,
        packaged_data=settings.packaged_data,
        url=settings.source_url,
        first_day=settings.first_day,
        last_day=settings.last_day,
    )

    assert source.name == name
    assert (source.first_day, source.last_day) == (settings.first_day, settings.last_day)


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("amazon", "file:///data"),
        ("parquet", None),
        ("yoochoose", None),
        ("diginetica", "s3://x/y"),
    ],
)
def test_a_source_that_is_unknown_or_has_no_place_is_an_error(tmp_path, name, url):
    with pytest.raises(ValueError, match=f"source '{name}' with URL .* is unknown: use"):
        open_source(name, packaged_data=tmp_path, url=url, first_day=FIRST, last_day=None)
