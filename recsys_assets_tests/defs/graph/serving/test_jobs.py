import pytest

from recsys_assets.defs.graph.serving.jobs import retention, retention_schedule
from recsys_assets.defs.resources import StoreResource
from recsys_assets_tests.serving.retained import PARTS, Shop, age


@pytest.fixture
def shop(tmp_path):
    shop = Shop((tmp_path / "storage").as_uri(), tmp_path / "cache")
    for part in PARTS:
        shop.train(part)
    for _ in range(3):
        shop.render()
    shop.promote(3)
    age(shop.root, 30)
    return shop


def run(shop, **config):
    result = retention.execute_in_process(
        resources={"store": StoreResource(url=shop.store.url)},
        run_config={"ops": {"clean_store": {"config": config}}},
    )
    (output,) = result.filter_events(lambda event: event.is_successful_output)
    metadata = output.step_output_data.metadata
    shown = {name: value.value for name, value in metadata.items() if name != "removed"}
    return shown | {"removed": [record.data for record in metadata["removed"].records]}


def test_the_run_shows_what_it_has_removed(shop):
    shown = run(shop)
    assert shop.releases.numbers() == [3]
    assert [(row["kind"], row["name"]) for row in shown["removed"]] == [
        ("release", "1"),
        ("release", "2"),
    ]
    assert shown["removed_count"] == 2
    assert shown["removed_bytes"] == sum(row["bytes"] for row in shown["removed"]) > 0
    assert shown["kept_releases"] == "3"


def test_a_dry_run_only_shows_it(shop):
    assert run(shop, dry_run=True)["removed_count"] == 2
    assert shop.releases.numbers() == [1, 2, 3]


def test_it_runs_once_a_week():
    assert retention_schedule.cron_schedule == "0 3 * * 0"
    assert retention_schedule.job_name == retention.name == "retention"
