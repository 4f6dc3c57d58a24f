"""Tables of the reference, made from the code when the site is built, so that none is stale.

A page asks for one by a line `<!-- made from code: NAME -->`; the names are those of `TABLES`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_TARGET = re.compile(r"^([a-z0-9-]+):.*?## (.+)$", re.MULTILINE)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; a bar within a cell is escaped, a line break becomes a space."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def make_targets() -> str:
    """What `make help` lists."""
    found = _TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8"))
    return table(("target", "what it does"), [(f"`make {name}`", what) for name, what in found])


def settings(where: str) -> str:
    """The environment variables of `variables.py`, of every deployment or of a cluster."""
    from tools.docs import variables

    rows = [
        (
            f"`{one.name}`",
            one.without if one.default is None else f"`{one.default}`",
            one.meaning,
        )
        for one in getattr(variables, where)
    ]
    return table(("variable", "default", "meaning"), rows)


def features() -> str:
    """The columns of every declared feature set, below its name."""
    from recsys_assets.features.declarations import FEATURE_SETS

    parts = []
    for declared in FEATURE_SETS:
        rows = [
            (f"`{column}`", dtype, declared.descriptions[column])
            for column, dtype in declared.columns.items()
        ]
        parts += [f"### `{declared.name}`, by `{declared.key}`", table(_COLUMN_HEADER, rows)]
    return "\n\n".join(parts)


def contracts(*names: str) -> str:
    """The columns of tables of the data contract, below their names."""
    from recsys_assets.events import contract

    parts = []
    for name in names:
        declared = getattr(contract, name)
        rows = [
            (f"`{one.name}`", one.type, "yes" if one.required else "", one.description)
            for one in declared.columns
        ]
        parts += [
            f"### `{declared.table}`",
            table(("column", "type", "required", "meaning"), rows),
            _EXTRA[declared.extra],
        ]
    return "\n\n".join(parts)


def parameters(dotted: str) -> str:
    """The fields of a dataclass whose metadata describe them: hyperparameters, rules, thresholds.

    Args:
        dotted: name of the class, its module's before it.
    """
    from importlib import import_module

    module, _, name = dotted.rpartition(".")
    rows = [
        (f"`{one.name}`", f"`{one.default}`", one.metadata["description"])
        for one in fields(getattr(import_module(module), name))
    ]
    return table(("parameter", "default", "meaning"), rows)


def described(dotted: str) -> str:
    """The fields of a Pydantic model that describe themselves: a query, a launchpad.

    Args:
        dotted: name of the class, its module's before it.
    """
    from importlib import import_module

    module, _, name = dotted.rpartition(".")
    rows = [
        (f"`{name}`", _default(field.get_default()), field.description)
        for name, field in getattr(import_module(module), name).model_fields.items()
    ]
    return table(("parameter", "default", "meaning"), rows)


def assets() -> str:
    """Every asset of the graph by its group."""
    rows = [
        (spec.group_name, f"`{spec.key.to_user_string()}`", _first_paragraph(spec.description))
        for spec in _definitions().resolve_all_asset_specs()
    ]
    return table(("group", "asset", "what it holds"), sorted(rows))


def jobs() -> str:
    """Jobs, and the sensors and schedules that start them."""
    defined = _definitions()
    found = [("job", each) for each in defined.jobs or ()]
    found += [("sensor", each) for each in defined.sensors or ()]
    found += [("schedule", each) for each in defined.schedules or ()]
    rows = [(kind, f"`{one.name}`", _first_paragraph(one.description)) for kind, one in found]
    return table(("kind", "name", "what it does"), rows)


TABLES: dict[str, Callable[[], str]] = {
    "make targets": make_targets,
    "settings": lambda: settings("VARIABLES"),
    "settings of a cluster": lambda: settings("ON_EKS"),
    "features": features,
    "delivered tables": lambda: contracts(
        "INTERACTIONS", "ITEMS", "USERS", "PROMOTIONS", "WITHDRAWN_ITEMS"
    ),
    "made tables": lambda: contracts(
        "CATALOGUE_HISTORY", "QUARANTINED_INTERACTIONS", "QUARANTINED_ROWS"
    ),
    "two-tower parameters": lambda: parameters(
        "recsys_assets.models.hyperparameters.TwoTowerParameters"
    ),
    "ranker parameters": lambda: parameters("recsys_assets.models.hyperparameters.DlrmParameters"),
    "boosting": lambda: parameters("recsys_assets.candidates.boosted_ranker.Boosting"),
    "gate rules": lambda: parameters("recsys_assets.retraining.gate.GateRules"),
    "drift thresholds": lambda: parameters("recsys_assets.monitoring.thresholds.DriftThresholds"),
    "serving parameters": lambda: described(
        "recsys_assets.defs.graph.serving.assets.ServingParameters"
    ),
    "query parameters": lambda: described("recsys_assets.storefront.recommend_service.Query"),
    "assets": assets,
    "jobs": jobs,
}

_COLUMN_HEADER = ("column", "type", "meaning")
_EXTRA = {
    "none": "Further columns are left out.",
    "text": "Further columns are taken as categorical attributes; they are text.",
    "any": "Further columns are taken as attributes; they are text or numbers.",
}


def _cell(content: object) -> str:
    return " ".join(str(content).split()).replace("|", "\\|")


def _default(value: Any) -> str:
    return f"`{value}`" if value not in ("", None) else "none"


def _first_paragraph(text: str | None) -> str:
    return (text or "").strip().split("\n\n")[0]


def _definitions() -> Any:
    from recsys_assets.definitions import defs

    return defs
