"""What manifests name must exist: ConfigMaps, Secrets, accounts, settings, commands, images."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from recsys_assets.settings import REPOSITORY, InvalidSetting, load_settings
from tools.manifests.findings import Finding, Object, Rendered, containers_of, pod_of
from tools.manifests.render import K8S, values, values_files

SECRETS = K8S / "secrets.yaml"
SETTINGS_MAP = "recsys-settings"
OURS = ("recsys-orchestration", "recsys-serving")
IMAGES = {*OURS, "valkey-bundle", "prometheus", "alertmanager", "grafana"}
_STAND_INS = {
    "RECSYS_ONLINE_STORE_URL": "redis://online-store.invalid:6379/0",
    "RECSYS_API_TOKEN": "a token",
}
_SETTING = re.compile(r"RECSYS_[A-Z][A-Z_]*")


@cache
def secrets() -> Mapping[str, Any]:
    """The secrets that whoever installs has made, by name."""
    return dict(yaml.safe_load(SECRETS.read_text(encoding="utf-8")))


@cache
def known_settings() -> frozenset[str]:
    """Every variable that the settings read."""
    sources = (REPOSITORY / "recsys_assets" / "settings").glob("*.py")
    found = {name for source in sources for name in _SETTING.findall(source.read_text("utf-8"))}
    return frozenset(found | {f"{name}_FILE" for name in found})


def reference_findings(rendered: Rendered) -> Iterator[Finding]:
    """ConfigMaps, Secrets with their keys, and accounts that nobody makes."""
    for workload in rendered.workloads():
        pod = pod_of(workload)
        account = pod.get("serviceAccountName", "default")
        if account not in rendered.names("ServiceAccount"):
            yield rendered.finding(workload, "serviceAccountName", account, "no such account")
        for kind, name, key in _named(pod):
            yield from _exists(rendered, workload, kind, name, key)
    for workload, container, environment in _environments(rendered):
        yield from _unmounted(rendered, workload, container, environment)


def dagster_findings(rendered: Rendered, overlay: str) -> Iterator[Finding]:
    """What the values of Dagster's chart name and the overlay has not."""
    files = values_files(overlay)
    found = values(files)
    file = str(files[-1].relative_to(REPOSITORY))
    runs = found["runLauncher"]["config"]["k8sRunLauncher"]
    accounts = {
        "global.serviceAccountName": found["global"]["serviceAccountName"],
        "runK8sConfig.serviceAccountName": runs["runK8sConfig"]["podSpecConfig"][
            "serviceAccountName"
        ],
    }
    for field, account in accounts.items():
        if account not in rendered.names("ServiceAccount"):
            yield Finding(file, "values", field, account, f"no such account in {rendered.file}")
    parts = [found["dagsterWebserver"], found["dagsterDaemon"], runs]
    for part in [*parts, *found["dagster-user-deployments"]["deployments"]]:
        for each in part.get("envConfigMaps", []):
            if each["name"] not in rendered.names("ConfigMap"):
                yield Finding(file, "values", "envConfigMaps", each["name"], "no such ConfigMap")
        for volume in part.get("volumes", []):
            name = volume.get("secret", {}).get("secretName")
            if name and name not in secrets():
                yield Finding(file, "values", "volumes", name, f"name it in {SECRETS.name}")


def setting_findings(rendered: Rendered) -> Iterator[Finding]:
    """Variables that no setting reads, and environments that the settings refuse."""
    for of, _, environment in _environments(rendered):
        for name in sorted(environment):
            if name.startswith("RECSYS_") and name not in known_settings():
                yield rendered.finding(of, name, environment[name], "no setting of this name")
        try:
            load_settings(_without_files(environment))
        except InvalidSetting as error:
            yield rendered.finding(of, "environment", "", str(error))


def command_findings(rendered: Rendered) -> Iterator[Finding]:
    """Commands of `recsys`, and their options, that do not exist."""
    for workload in rendered.workloads():
        for container in containers_of(pod_of(workload)):
            command = [*container.get("command", []), *container.get("args", [])]
            if command[:1] != ["recsys"]:
                continue
            said = help_of(command[1])
            if said is None:
                yield rendered.finding(workload, "command", command[1], "`recsys` has no such one")
                continue
            for option in (each for each in command[2:] if each.startswith("--")):
                if not re.search(rf"{re.escape(option)}\b", said):
                    yield rendered.finding(
                        workload, "args", option, f"`recsys {command[1]}` has no such option"
                    )


@cache
def help_of(command: str) -> str | None:
    """What a command of `recsys` says of itself, None if there is none."""
    done = subprocess.run(
        ["recsys", command, "--help"], capture_output=True, text=True, check=False
    )
    return None if done.returncode else done.stdout


def image_findings(rendered: Rendered) -> Iterator[Finding]:
    """Images that nobody builds or has chosen, and tags that may be moved."""
    for workload in rendered.workloads():
        for container in containers_of(pod_of(workload)):
            image = container["image"]
            name, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
            if name not in IMAGES:
                yield rendered.finding(workload, "image", image, f"known are {sorted(IMAGES)}")
            if "@" not in image and tag in ("", "latest"):
                yield rendered.finding(workload, "image", image, "give a tag that never moves")


def _environments(rendered: Rendered) -> Iterator[tuple[Object, Object, dict[str, str]]]:
    """Each container of ours and its environment, as far as manifests say it."""
    maps = _maps(rendered)
    for workload in rendered.workloads():
        for container in containers_of(pod_of(workload)):
            sources = [each.get("configMapRef", {}) for each in container.get("envFrom", [])]
            named = [each["name"] for each in sources if each]
            if SETTINGS_MAP not in named:
                continue
            environment = {k: v for name in named for k, v in maps.get(name, {}).items()}
            own = {each["name"]: each.get("value", "") for each in container.get("env", [])}
            yield workload, container, environment | own


def _maps(rendered: Rendered) -> dict[str, dict[str, str]]:
    return {each["metadata"]["name"]: each["data"] for each in rendered.of_kind("ConfigMap")}


def _unmounted(
    rendered: Rendered, workload: Object, container: Object, environment: Mapping[str, str]
) -> Iterator[Finding]:
    """Files that settings are read from and that no mounted secret has."""
    volumes = {each["name"]: each.get("secret", {}) for each in pod_of(workload).get("volumes", [])}
    mounted = {
        f"{mount['mountPath']}/{key}"
        for mount in container.get("volumeMounts", [])
        for key in secrets().get(_secret(volumes, mount), {}).get("keys", [])
    }
    for name, path in environment.items():
        if name.startswith("RECSYS_") and name.endswith("_FILE") and path not in mounted:
            yield rendered.finding(workload, name, path, "mount a secret that has this file")


def _secret(volumes: Mapping[str, Object], mount: Object) -> str:
    return str(volumes.get(mount["name"], {}).get("secretName"))


def _without_files(environment: Mapping[str, str]) -> dict[str, str]:
    """Mounted secrets are not here: something else of their kind stands for them."""
    given = {k: v for k, v in environment.items() if not k.endswith("_FILE")}
    return given | {k: v for k, v in _STAND_INS.items() if f"{k}_FILE" in environment}


def _named(pod: Object) -> Iterator[tuple[str, str, str | None]]:
    """Kind, name and key of every ConfigMap and Secret that a pod uses."""
    volumes = {each["name"]: each for each in pod.get("volumes", [])}
    for volume in volumes.values():
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"], None
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"], None
    for container in containers_of(pod):
        for mount in container.get("volumeMounts", []):
            source = volumes.get(mount["name"], {}).get("configMap")
            if source and "subPath" in mount:
                yield "ConfigMap", source["name"], mount["subPath"]
        yield from _named_by_environment(container)


def _named_by_environment(container: Object) -> Iterator[tuple[str, str, str | None]]:
    kinds = {"configMap": "ConfigMap", "secret": "Secret"}
    for each in container.get("envFrom", []):
        for prefix, kind in kinds.items():
            if f"{prefix}Ref" in each:
                yield kind, each[f"{prefix}Ref"]["name"], None
    for each in container.get("env", []):
        for prefix, kind in kinds.items():
            source = each.get("valueFrom", {}).get(f"{prefix}KeyRef")
            if source:
                yield kind, source["name"], source["key"]


def _exists(
    rendered: Rendered, of: Object, kind: str, name: str, key: str | None
) -> Iterator[Finding]:
    if kind == "Secret":
        keys: Any = secrets().get(name, {}).get("keys")
        remedy = f"name it in {Path(SECRETS).name}"
    else:
        keys, remedy = _maps(rendered).get(name), "no such ConfigMap"
    if keys is None:
        yield rendered.finding(of, kind, name, remedy)
    elif key is not None and key not in keys:
        yield rendered.finding(of, f"{kind} {name}", key, f"has the keys {sorted(keys)}")
