"""The code version of an asset: it changes when what defines the asset's behaviour changes.

A digest of the modules that compute, and of all of this package that they import, within functions
too, so that no change can be forgotten. It is made of syntax trees without docstrings: a comment,
a docstring or the layout changes nothing that is computed, and must not make a year of partitions
look stale. Another minor version of Python may write trees otherwise, so it changes all versions.

Left out is what carries values and makes none: storage, progress, and settings, but not their rule
of days. Weights and inputs are no code: they have versions of their own.
"""

import ast
import hashlib
from functools import cache
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = Path(__file__).resolve().parents[1].name
_CARRIERS = {"defs", "runtime", "settings", "storage", "terminal"}
_RULES = {f"{_PACKAGE}.settings.days"}  # which days train, validate and are measured: no value
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_LENGTH = 12


def code_version(*modules: str) -> str:
    """A digest of modules and of all that they import of this package.

    Args:
        modules: dotted names from the repository on, such as `recsys_assets.features.backfill`.

    Raises:
        FileNotFoundError: there is no such module.
    """
    found, waiting = set[str](), set(modules)
    while waiting:
        found |= waiting
        waiting = {name for one in waiting for name in _read(one)[1]} - found
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(f"{name} {_read(name)[0]}\n".encode())
    return digest.hexdigest()[:_LENGTH]


@cache
def _read(name: str) -> tuple[str, tuple[str, ...]]:
    """The digest of a module, and the modules of this package that it imports."""
    file = _file(name)
    if file is None:
        raise FileNotFoundError(f"module {name} is not in {_ROOT}: name one that is")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported = {one for node in ast.walk(tree) for one in _imported(node)}
    return hashlib.sha256(_dumped(tree).encode()).hexdigest(), tuple(sorted(imported))


@cache
def _file(name: str) -> Path | None:
    path = _ROOT.joinpath(*name.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in files if file.is_file()), None)


def _imported(node: ast.AST) -> set[str]:
    """Modules of this package that a statement imports, whole or names of them."""
    if isinstance(node, ast.Import):
        names = {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
        inner = {f"{node.module}.{alias.name}" for alias in node.names}
        names = {node.module} | {name for name in inner if _file(name) is not None}
    else:
        return set()
    return {name for name in names if _computes(name)}


def _computes(name: str) -> bool:
    package, _, rest = name.partition(".")
    inner = package == _PACKAGE and bool(rest)
    return name in _RULES or (inner and rest.split(".")[0] not in _CARRIERS)


def _dumped(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)
