"""A store of 100,000 objects: what a look at a part of it asks of S3."""

import json
from collections.abc import Callable
from dataclasses import asdict

import pytest

from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import Promoted
from recsys_assets.retraining.alerts import raised_alerts
from recsys_assets.storage import Store, s3
from recsys_assets_tests.storage.s3_proxy import Proxy

pytestmark = [pytest.mark.integration, pytest.mark.slow]

DAYS = [f"{2015 + n // 336}-{n // 28 % 12 + 1:02}-{n % 28 + 1:02}" for n in range(3360)]
TABLES = 20
VERSIONS = 2_000  # of ten files each
RELEASES = 100  # of 60 files each
ALERTS = 6_800


def everything() -> dict[str, bytes]:
    """Ten years of 20 tables, three artifacts, releases with their changes, and alerts."""
    keys = [f"tables/t{t}/day={day}/data.parquet" for t in range(TABLES) for day in DAYS]
    keys += [
        f"artifacts/model/2020{version:04}T000000-0/{name}"
        for version in range(VERSIONS)
        for name in ("_COMPLETE", *(f"{n}.bin" for n in range(9)))
    ]
    keys += [
        f"releases/{release}/{name}"
        for release in range(1, RELEASES + 1)
        for name in ("manifest.json", *(f"models/{n}" for n in range(59)))
    ]
    keys += [f"alerts/20200101T000000{n:06}Z-drift-run{n}.json" for n in range(ALERTS)]
    changes = {
        ("releases/promoted.json" if n == RELEASES else f"releases/events/{n:08}.json"): json.dumps(
            asdict(Promoted(n, (), "2020-01-01T00:00:00+00:00", number=n))
        ).encode()
        for n in range(1, RELEASES + 1)
    }
    return dict.fromkeys(keys, b"") | changes


@pytest.fixture
def store(proxy: Proxy) -> Store:
    """The store; filled behind the server's back, as 100,000 requests would take minutes."""
    from moto.s3.models import s3_backends

    s3.use_limits(s3.S3Limits())  # the server lists 100,000 names: no matter of a second
    backend = s3_backends["123456789012"]["aws"]
    for key, data in everything().items():
        backend.put_object("shop", f"store/{key}", data)
    proxy.seen.clear()
    return Store("s3://shop/store")


def test_a_look_asks_once_for_a_thousand_names(store: Store, proxy: Proxy) -> None:
    assert len(everything()) >= 100_000

    def asked(look: Callable[[], int]) -> tuple[int, int]:
        """How much was found, and by how many requests."""
        proxy.seen.clear()
        return look(), len(proxy.seen)

    releases = Releases(store)
    # Of a table the days, of a version or release every file.
    assert asked(lambda: len(store.table("t7").days())) == (len(DAYS), 4)
    assert asked(lambda: len(store.artifact("model").versions())) == (VERSIONS, 20)
    assert asked(lambda: len(releases.numbers())) == (RELEASES, 7)
    assert asked(lambda: len(raised_alerts(store))) == (ALERTS, 7)
    # One for each change, several at a time, and two to know of them.
    assert asked(lambda: len(releases.history())) == (RELEASES, RELEASES + 1)
    # What is read all the time asks for nothing but itself.
    assert asked(lambda: releases.promoted() is not None) == (True, 1)
    assert asked(lambda: store.table("t7").has(DAYS[5])) == (True, 1)
