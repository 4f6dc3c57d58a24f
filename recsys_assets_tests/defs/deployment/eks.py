"""The smallest environment of a process in the cluster, and the graph as it is there."""

from recsys_assets.definitions import build_definitions
from recsys_assets.defs.deployment.steps import work_by_step
from recsys_assets.settings import load_settings

ENVIRONMENT = {
    "RECSYS_DEPLOYMENT": "eks",
    "RECSYS_STORAGE": "s3://shop/recsys",
    "RECSYS_ONLINE_STORE_URL": "rediss://:secret@valkey.example:6379/0",
    "RECSYS_TRAINING_IMAGE": "recsys-training:1",
    "RECSYS_SPARK_IMAGE": "recsys-orchestration:1",
    "RECSYS_SOURCE_URL": "s3://shop/events",
    "RECSYS_FIRST_DAY": "2017-01-01",
}
SETTINGS = load_settings(ENVIRONMENT)

defs = build_definitions(SETTINGS)
WORK = work_by_step([*defs.assets, *defs.asset_checks])
