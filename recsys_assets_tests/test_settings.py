import re
from datetime import date
from pathlib import Path

import pytest

from recsys_assets.settings import InvalidSetting, MissingSettings, load_settings
from recsys_assets_tests.defs.deployment.eks import ENVIRONMENT as EKS


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
        ("RECSYS_DEPLOYMENT", "gke"),
        ("RECSYS_SOURCE", "amazon"),
        ("RECSYS_STORAGE", "gs://bucket"),
        ("RECSYS_ONLINE_STORE_URL", "127.0.0.1:6379"),
        ("RECSYS_TRITON_HTTP", "127.0.0.1"),
        ("RECSYS_TODAY", "yesterday"),
        ("RECSYS_TODAY", "2016-01-01"),
        ("RECSYS_LAST_DAY", "2016-01-01"),
        ("RECSYS_EVALUATION_DAYS", "0"),
        ("RECSYS_STORAGE", "file:///data/week#1"),
        ("RECSYS_STORAGE", "file:///data/what?x"),
        ("RECSYS_TIME_ZONE", "Europe/Atlantis"),
        ("RECSYS_TIME_ZONE", "Europe"),
        ("RECSYS_TIME_ZONE", "../UTC"),
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
        ("RECSYS_WAIT_SECONDS", "0"),
        ("RECSYS_WAIT_SECONDS", "ten minutes"),
        ("RECSYS_ALERT_URL", "hooks.example/x"),
        ("RECSYS_ALERT_URL", "ftp://hooks.example"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(variable, value):
    with pytest.raises(InvalidSetting, match=re.escape(f"{variable}='{value}'")):
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


def test_tokens_of_a_mounted_file_can_be_read_again(tmp_path):
    (tmp_path / "token").write_text("old\nnew\n")
    settings = load_settings({"RECSYS_API_TOKEN_FILE": str(tmp_path / "token")})

    assert settings.api_token == "old\nnew"  # noqa: S105
    assert settings.api_token_file == tmp_path / "token"
    assert load_settings({"RECSYS_API_TOKEN": "a"}).api_token_file is None


def test_a_slow_machine_can_be_waited_for():
    assert load_settings({}).wait_seconds == 600
    assert load_settings({"RECSYS_WAIT_SECONDS": "7200"}).wait_seconds == 7200


def test_own_data_needs_a_place():
    with pytest.raises(InvalidSetting, match="RECSYS_SOURCE_URL"):
        load_settings({"RECSYS_SOURCE": "parquet", "RECSYS_FIRST_DAY": "2025-01-01"})


@pytest.mark.parametrize("source", ["yoochoose", "diginetica"])
def test_a_recording_that_is_not_packaged_needs_its_publishers_files(tmp_path, source):
    with pytest.raises(InvalidSetting, match=f"{source} needs the folder with its publisher's"):
        load_settings({"RECSYS_SOURCE": source})

    with pytest.raises(
        InvalidSetting, match=r"RECSYS_SOURCE_URL='s3://data/x'.+ starts with file://"
    ):
        load_settings({"RECSYS_SOURCE": source, "RECSYS_SOURCE_URL": "s3://data/x"})

    settings = load_settings({"RECSYS_SOURCE": source, "RECSYS_SOURCE_URL": str(tmp_path)})
    assert settings.source_url == tmp_path.as_uri()
    assert settings.evaluation_through < settings.last_day


def test_a_laptop_is_the_default():
    settings = load_settings({})

    assert settings.deployment == "local"
    assert settings.cluster is None
    assert settings.triton_repository == settings.home / "triton" / "models"


def test_defaults_in_the_cluster_are_its_services():
    settings = load_settings(EKS)
    cluster = settings.cluster

    assert settings.source == "parquet"
    assert settings.offline_store == "athena"
    assert (settings.triton_http, settings.triton_grpc) == ("triton:8000", "triton:8001")
    assert settings.triton_metrics == "triton:8002"
    assert (cluster.namespace, cluster.service_account) == ("recsys", "recsys-run")
    assert cluster.spark_master == "k8s://https://kubernetes.default.svc"
    assert cluster.spark_executors == 2
    assert cluster.training_gpus == 0
    assert (cluster.agents, cluster.canary_agents) == (
        "triton-agents:8080",
        "triton-canary-agents:8080",
    )
    assert (cluster.triton_memory, cluster.triton_models) == (3 << 30, 2 << 30)
    assert cluster.promotion_seconds == 600


@pytest.mark.parametrize("value", ["3G", "3.5Gi", "lots", "Gi"])
def test_a_size_that_kubernetes_would_not_take_so_is_named(value):
    with pytest.raises(InvalidSetting, match=f"RECSYS_TRITON_MEMORY='{value}' cannot be used"):
        load_settings(EKS | {"RECSYS_TRITON_MEMORY": value})


def test_the_cluster_can_be_set():
    settings = load_settings(
        EKS
        | {
            "RECSYS_NAMESPACE": "shop",
            "RECSYS_TRAINING_GPUS": "2",
            "RECSYS_SPARK_EXECUTORS": "16",
            "RECSYS_OFFLINE_STORE": "spark",
            "RECSYS_TRITON_GRPC": "triton.shop:8001",
            "AWS_REGION": "us-east-2",
        }
    )
    cluster = settings.cluster

    assert (cluster.namespace, cluster.region) == ("shop", "us-east-2")
    assert (cluster.training_gpus, cluster.spark_executors) == (2, 16)
    assert settings.offline_store == "spark"
    assert settings.triton_grpc == "triton.shop:8001"


REQUIRED = (
    "RECSYS_STORAGE",
    "RECSYS_ONLINE_STORE_URL",
    "RECSYS_TRAINING_IMAGE",
    "RECSYS_SPARK_IMAGE",
)


def test_all_that_a_cluster_needs_is_named_at_once():
    with pytest.raises(MissingSettings, match="RECSYS_DEPLOYMENT=eks") as refused:
        load_settings({"RECSYS_DEPLOYMENT": "eks"})
    assert all(variable in str(refused.value) for variable in REQUIRED)


@pytest.mark.parametrize("variable", REQUIRED)
def test_what_is_there_is_not_asked_for(variable):
    with pytest.raises(MissingSettings, match=variable) as refused:
        load_settings({name: value for name, value in EKS.items() if name != variable})
    assert not any(other in str(refused.value) for other in set(REQUIRED) - {variable})


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("RECSYS_STORAGE", "file:///var/recsys", "starts with s3://"),
        ("RECSYS_SPARK_MASTER", "yarn", "starts with k8s://"),
        ("RECSYS_SPARK_EXECUTORS", "0", "at least 1"),
        ("RECSYS_TRAINING_GPUS", "all", "whole number"),
        ("RECSYS_TRITON_AGENTS", "triton-agents", "host:port"),
        ("RECSYS_SOURCE_URL", "", "s3:// prefix"),
        ("RECSYS_FIRST_DAY", "", "first event day"),
    ],
)
def test_a_value_that_cannot_be_in_a_cluster_is_named(variable, value, remedy):
    with pytest.raises(InvalidSetting, match=f"{variable}='{value}'.*{remedy}"):
        load_settings(EKS | {variable: value})


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "online-store-url"
    path.write_text("rediss://:from-a-file@valkey.example:6379/0\n")
    return path


def test_a_secret_may_be_in_a_mounted_file(secret):
    environment = {k: v for k, v in EKS.items() if k != "RECSYS_ONLINE_STORE_URL"}
    settings = load_settings(environment | {"RECSYS_ONLINE_STORE_URL_FILE": str(secret)})

    assert settings.online_store_url == "rediss://:from-a-file@valkey.example:6379/0"


def test_any_setting_may_be_in_a_mounted_file(tmp_path):
    (tmp_path / "hook").write_text("https://hooks.example/secret")

    settings = load_settings({"RECSYS_ALERT_URL_FILE": str(tmp_path / "hook")})

    assert settings.alert_url == "https://hooks.example/secret"


def test_a_secret_is_given_once(secret):
    with pytest.raises(InvalidSetting, match="RECSYS_ONLINE_STORE_URL is set as well"):
        load_settings(EKS | {"RECSYS_ONLINE_STORE_URL_FILE": str(secret)})


@pytest.mark.parametrize(
    ("content", "remedy"),
    [
        (None, "cannot be read"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\xff", "cannot be read"),
    ],
)
def test_a_mounted_file_without_a_value_is_named(tmp_path, content, remedy):
    path = tmp_path / "alert"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidSetting, match=f"RECSYS_ALERT_URL_FILE='{path}'.*{remedy}"):
        load_settings({"RECSYS_ALERT_URL_FILE": str(path)})


def test_a_folder_in_the_place_of_a_mounted_file_is_named(tmp_path):
    """A Secret without that key is mounted as an empty folder."""
    with pytest.raises(InvalidSetting, match=r"RECSYS_ALERT_URL_FILE=.*cannot be read"):
        load_settings({"RECSYS_ALERT_URL_FILE": str(tmp_path)})


def test_a_mounted_value_is_held_to_the_same_rules(tmp_path):
    (tmp_path / "alert").write_text("hooks.example")

    with pytest.raises(InvalidSetting, match=r"RECSYS_ALERT_URL='hooks.example'"):
        load_settings({"RECSYS_ALERT_URL_FILE": str(tmp_path / "alert")})
