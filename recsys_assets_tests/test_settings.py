from datetime import date
from pathlib import Path

import pytest

from recsys_assets.settings import InvalidSetting, load_settings


def test_defaults_describe_the_recorded_year():
    settings = load_settings({})

    assert settings.source == "complete_journey"
    assert settings.train_through == date(2017, 9, 30)
    assert settings.evaluation_through == date(2017, 10, 7)
    assert settings.storage_url == f"{settings.home.as_uri()}/storage"


def test_a_folder_becomes_a_url(tmp_path):
    settings = load_settings(
        {
            "RECSYS_SOURCE": "parquet",
            "RECSYS_SOURCE_URL": str(tmp_path),
            "RECSYS_FIRST_DAY": "2025-01-01",
            "RECSYS_HOME": str(tmp_path / "home"),
        }
    )

    assert settings.source_url == Path(tmp_path).as_uri()
    assert settings.last_day is None
    assert settings.today > date(2025, 1, 1)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECSYS_SOURCE", "amazon"),
        ("RECSYS_STORAGE", "gs://bucket"),
        ("RECSYS_ONLINE_STORE_URL", "127.0.0.1:6379"),
        ("RECSYS_TRITON_HTTP", "127.0.0.1"),
        ("RECSYS_TODAY", "yesterday"),
        ("RECSYS_TODAY", "2016-01-01"),
        ("RECSYS_LAST_DAY", "2016-01-01"),
        ("RECSYS_EVALUATION_DAYS", "0"),
        ("RECSYS_INDEX", "annoy"),
        ("RECSYS_OFFLINE_STORE", "file"),
        ("RECSYS_ATTRIBUTION_HOURS", "0"),
        ("RECSYS_ATTRIBUTION_HOURS", "1.5"),
        ("RECSYS_DRIFT_DAYS", "2"),
        ("RECSYS_DRIFT_DAYS", "4/3"),
        ("RECSYS_DRIFT_DAYS", "0/3"),
        ("RECSYS_DRIFT_DAYS", "two/3"),
        ("RECSYS_COOLDOWN_DAYS", "-1"),
        ("RECSYS_RETRAIN_EVERY_DAYS", "weekly"),
        ("RECSYS_REJECTIONS_BEFORE_RETRAIN", "0"),
        ("RECSYS_ALERT_URL", "hooks.example/x"),
        ("RECSYS_ALERT_URL", "ftp://hooks.example"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable, value):
    with pytest.raises(InvalidSetting, match=f"{variable}='{value}'"):
        load_settings({variable: value})


def test_defaults_of_the_loop():
    settings = load_settings({})

    assert settings.attribution_hours == 24
    assert settings.drift_days == (2, 3)
    assert (settings.cooldown_days, settings.retrain_every_days) == (4, 7)
    assert settings.rejections_before_retrain == 3
    assert settings.alert_url is None


def test_the_loop_can_be_set():
    settings = load_settings(
        {
            "RECSYS_ATTRIBUTION_HOURS": "48",
            "RECSYS_DRIFT_DAYS": "3/3",
            "RECSYS_COOLDOWN_DAYS": "1",
            "RECSYS_RETRAIN_EVERY_DAYS": "28",
            "RECSYS_REJECTIONS_BEFORE_RETRAIN": "5",
            "RECSYS_ALERT_URL": "https://hooks.example/x",
        }
    )

    assert settings.attribution_hours == 48
    assert settings.drift_days == (3, 3)
    assert (settings.cooldown_days, settings.retrain_every_days) == (1, 28)
    assert settings.rejections_before_retrain == 5
    assert settings.alert_url == "https://hooks.example/x"


def test_own_data_needs_a_place():
    with pytest.raises(InvalidSetting, match="RECSYS_SOURCE_URL"):
        load_settings({"RECSYS_SOURCE": "parquet", "RECSYS_FIRST_DAY": "2025-01-01"})
