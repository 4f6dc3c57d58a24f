"""Rendered overlays, and the same with one thing wrong."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import yaml

from tools.manifests.findings import Object, Rendered
from tools.manifests.render import K8S, render_overlay


@cache
def rendered(overlay: str = "eks") -> Rendered:
    return render_overlay(K8S / "overlays" / overlay)


def changed(
    kind: str, name: str, change: Callable[[Object], Any], overlay: str = "eks"
) -> Rendered:
    """An overlay of which one object has been changed."""
    found = rendered(overlay)
    objects = copy.deepcopy(found.objects)
    of = next(each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    change(of)
    return replace(found, objects=objects, text=yaml.safe_dump_all(objects))


def container(workload: Object, at: int = 0) -> Object:
    found: Object = workload["spec"]["template"]["spec"]["containers"][at]
    return found


def without(kind: str, name: str, overlay: str = "eks") -> Rendered:
    found = rendered(overlay)
    kept = [e for e in found.objects if (e["kind"], e["metadata"]["name"]) != (kind, name)]
    return replace(found, objects=kept, text=yaml.safe_dump_all(kept))
