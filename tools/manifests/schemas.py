"""Holds objects against the schemas of Kubernetes, strictly, for every supported version."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from tools.manifests.findings import Finding, Rendered

OLDEST = (1, 29)


def versions() -> list[str]:
    """The versions from the oldest that is supported to the newest whose schemas are shipped."""
    from kubernetes_validate.utils import all_versions  # type: ignore[import-untyped]

    found = sorted({_number(each) for each in all_versions()})
    return [f"{major}.{minor}" for major, minor in found if (major, minor) >= OLDEST]


def schema_findings(rendered: Rendered, version: str) -> Iterator[Finding]:
    """What a version of Kubernetes refuses: unknown fields, wrong types, kinds it has not."""
    for each in rendered.objects:
        validator = _validator(version, each["kind"], each["apiVersion"])
        if validator is None:
            yield rendered.finding(
                each, "apiVersion", each["apiVersion"], f"Kubernetes {version} has no such kind"
            )
            continue
        for error in validator.iter_errors(each):
            field = ".".join(str(part) for part in error.absolute_path) or "(object)"
            value = json.dumps(error.instance, default=str)[:80]
            yield rendered.finding(each, field, value, f"Kubernetes {version}: {error.message}")


def _number(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


@cache
def _validator(version: str, kind: str, api_version: str) -> Any:
    """The validator of a kind, None where that version has none."""
    from jsonschema.validators import Draft202012Validator  # type: ignore[import-untyped]
    from kubernetes_validate.utils import schema_contents
    from referencing import Resource

    group = api_version.split("/")
    named = "-".join([group[0].split(".")[0], *group[1:]])
    file = f"kubernetes-json-schema/{_folder(version)}/{kind.lower()}-{named}.json"
    try:
        schema = schema_contents(file, version)
    except FileNotFoundError:
        return None
    registry = Resource.from_contents(schema) @ _definitions(version)
    return Draft202012Validator(schema, registry=registry)


@cache
def _definitions(version: str) -> Any:
    from kubernetes_validate.utils import schema_contents
    from referencing import Registry, Resource

    file = f"kubernetes-json-schema/{_folder(version)}/_definitions.json"
    registry: Any = Registry()
    return Resource.from_contents(schema_contents(file, version)) @ registry


@cache
def _folder(version: str) -> str:
    from kubernetes_validate.utils import all_versions

    full = next(each for each in all_versions() if _number(each) == _number(version))
    return f"v{full}-local-strict"
