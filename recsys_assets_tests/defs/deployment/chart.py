"""`dagster.yaml` and a code location as Dagster's chart makes them of `k8s/dagster/values.yaml`.

Only the sections that this project sets.
A key that the chart's templates do not know raises, as it would be passed over in silence there.
"""

import re
from typing import Any

import yaml

from recsys_assets.settings import REPOSITORY

Values = dict[str, Any]

FOLDER = REPOSITORY / "k8s" / "dagster"
RELEASE_NAMESPACE = "recsys"
_LAUNCHER = {
    "image",
    "imagePullPolicy",
    "loadInclusterConfig",
    "jobNamespace",
    "envConfigMaps",
    "envSecrets",
    "envVars",
    "volumeMounts",
    "volumes",
    "labels",
    "resources",
    "failPodOnRunFailure",
    "schedulerName",
    "securityContext",
    "runK8sConfig",
}
_RUN = {
    "containerConfig",
    "podSpecConfig",
    "podTemplateSpecMetadata",
    "jobSpecConfig",
    "jobMetadata",
}
_COORDINATOR = {
    "maxConcurrentRuns",
    "tagConcurrencyLimits",
    "dequeueIntervalSeconds",
    "dequeueUseThreads",
    "dequeueNumWorkers",
    "blockOpConcurrencyLimitedRuns",
}
_MONITORING = {
    "enabled",
    "startTimeoutSeconds",
    "cancelTimeoutSeconds",
    "maxResumeRunAttempts",
    "pollIntervalSeconds",
    "freeSlotsAfterRunEndSeconds",
}
_S3_LOGS = {
    "bucket",
    "localDir",
    "prefix",
    "useSsl",
    "verify",
    "verifyCertPath",
    "endpointUrl",
    "skipEmptyFiles",
    "uploadInterval",
    "uploadExtraArgs",
    "showUrlOnly",
    "region",
}


def values(*more: str) -> Values:
    """The values of the chart, overridden by those of more files in the same folder."""
    found: Values = {}
    for name in ("values.yaml", *more):
        found = merged(found, yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")))
    return found


def instance_config(values: Values) -> dict[str, Any]:
    """`dagster.yaml`."""
    daemon = values["dagsterDaemon"]
    coordinator = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]
    return {
        **storage_config(values),
        "run_launcher": _class("dagster_k8s", "K8sRunLauncher", launcher_config(values)),
        "run_coordinator": _class(
            "dagster.core.run_coordinator",
            daemon["runCoordinator"].get("type", "QueuedRunCoordinator"),
            {"max_concurrent_runs": -1, **_snake(coordinator, _COORDINATOR)},
        ),
        "run_monitoring": _snake(daemon["runMonitoring"], _MONITORING),
        "compute_logs": _class(
            "dagster_aws.s3.compute_log_manager",
            values["computeLogManager"]["type"],
            _snake(values["computeLogManager"]["config"]["s3ComputeLogManager"], _S3_LOGS),
        ),
        "retention": {
            section: {"purge_after_days": values["retention"][section]["purgeAfterDays"]}
            for section in ("schedule", "sensor")
        },
        "telemetry": {"enabled": values["telemetry"]["enabled"]},
        **values.get("additionalInstanceConfig", {}),
    }


def storage_config(values: Values) -> dict[str, Any]:
    """Where runs, events and ticks are kept."""
    given = values["postgresql"]
    database = {
        "username": given["postgresqlUsername"],
        "password": {"env": "DAGSTER_PG_PASSWORD"},
        "hostname": given.get("postgresqlHost", "dagster-postgresql"),
        "port": given.get("service", {}).get("port", 5432),
        "db_name": given["postgresqlDatabase"],
        "params": given.get("postgresqlParams", {}),
    }
    return {
        f"{kind}_storage": _class(f"dagster_postgres.{module}", name, {"postgres_db": database})
        for kind, module, name in (
            ("run", "run_storage", "PostgresRunStorage"),
            ("event_log", "event_log", "PostgresEventLogStorage"),
            ("schedule", "schedule_storage", "PostgresScheduleStorage"),
        )
    }


def launcher_config(values: Values) -> dict[str, Any]:
    """The configuration of `K8sRunLauncher`; the chart's service account, home and Postgres."""
    given = dict(values["runLauncher"]["config"]["k8sRunLauncher"])
    run = _snake(given.pop("runK8sConfig", {}), _RUN)
    for named in ("envConfigMaps", "envSecrets"):
        given[named] = [each["name"] for each in given.get(named, [])]
    return {
        "job_namespace": RELEASE_NAMESPACE,
        **_snake(given, _LAUNCHER),
        "service_account_name": values["global"]["serviceAccountName"],
        "dagster_home": values["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": values["global"]["postgresqlSecretName"],
        "run_k8s_config": run,
    }


def code_location(values: Values) -> Values:
    """The deployment of the code location."""
    (found,) = values["dagster-user-deployments"]["deployments"]
    return found


def container_context(values: Values) -> dict[str, Any]:
    """What the code location adds to the pods of its runs; the chart's default is all it has."""
    location = code_location(values)
    if not location.get("includeConfigInLaunchedRuns", {"enabled": True})["enabled"]:
        return {}
    return {
        "k8s": {
            "service_account_name": values["global"]["serviceAccountName"],
            "env_config_maps": ["recsys-user-env"],
            "resources": location.get("resources", {}),
        }
    }


def image(values: Values) -> str:
    """Repository and tag of the code location's image."""
    found = code_location(values)["image"]
    return f"{found['repository']}:{found['tag']}"


def merged(under: Values, over: Values) -> Values:
    """Values over others as Helm does it: maps are merged, all else is replaced."""
    both = {
        key: merged(under[key], over[key])
        for key in set(under) & set(over)
        if isinstance(under[key], dict) and isinstance(over[key], dict)
    }
    return {**under, **over, **both}


def _class(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    return {"module": module, "class": name, "config": config}


def _snake(given: Values, known: set[str]) -> dict[str, Any]:
    """Keys as Dagster has them; None is the chart's word for not set."""
    unknown = set(given) - known
    if unknown:
        raise KeyError(f"{FOLDER}: the chart does not know {sorted(unknown)}")
    return {
        re.sub("(?=[A-Z])", "_", key).lower(): value
        for key, value in given.items()
        if value is not None
    }
