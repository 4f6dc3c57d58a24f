"""Vector index over item embeddings by inner product, with FAISS. Runs in both environments."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from recsys_assets.models.device import CPU, Device
from recsys_assets.models.index import index_kinds, index_measure
from recsys_assets.models.index.index_kinds import NORMAL

_INDEX = "index.faiss"
_DESCRIPTION = "index.json"


@dataclass(frozen=True)
class IndexDescription:
    """What `index.json` says: kind, items, dimensions, and recall at 100 against exact search.

    `budgets` names what a search may look at: candidates of a graph, lists probed. Left out, they
    are those of the index that is written, `index_kinds.budgets_of`.
    """

    kind: str
    items: int
    dimensions: int
    recall_at_100: float
    budgets: Mapping[str, int] = field(default_factory=dict)


def build(embeddings: np.ndarray, kind: str) -> Any:
    """A FAISS index of the rows, with the default parameters of a kind.

    Args:
        embeddings: float32 [n, d] of unit length.
        kind: one of `index_kinds.KINDS`.

    Raises:
        ValueError: another kind, too few items for it, or embeddings that are not finite.
    """
    return index_kinds.build(embeddings, index_kinds.default_parameters(kind, len(embeddings)))


def recall_at(index: Any, embeddings: np.ndarray, queries: np.ndarray, k: int = 100) -> float:
    """Share of the exact k best that the index finds, mean over queries float32 [m, d]."""
    normal = {NORMAL: index_kinds.effort_of(index)}
    return index_measure.recall_by_budget(index, embeddings, queries, normal, k)[NORMAL]


def write_index(
    folder: Path, index: Any, item_ids: list[str], description: IndexDescription
) -> None:
    """Writes `index.faiss`, `index.json` and `item_ids.json`."""
    import faiss

    budgets = description.budgets or index_kinds.budgets_of(index)
    described = asdict(replace(description, budgets=dict(budgets)))
    faiss.write_index(index, str(folder / _INDEX))
    (folder / _DESCRIPTION).write_text(json.dumps(described), encoding="utf-8")
    (folder / "item_ids.json").write_text(json.dumps(item_ids), encoding="utf-8")


def read_description(folder: Path) -> IndexDescription:
    """Reads `index.json`.

    Raises:
        ValueError: another version of the code has written it.
    """
    file = folder / _DESCRIPTION
    described = json.loads(file.read_text(encoding="utf-8"))
    wanted = {entry.name for entry in fields(IndexDescription)}
    if described.keys() != wanted:
        raise ValueError(
            f"{file} has the fields {sorted(described)} in place of {sorted(wanted)}: "
            "materialize item_index again"
        )
    return IndexDescription(**described)


class ItemIndex:
    """A stored index.

    Args:
        folder: a version of the artifact `item_index`.
        threads: of FAISS, for the whole process.
        device: to search on.

    Raises:
        FileNotFoundError: the folder holds no index.
        ValueError: another version of the code has written it.
        NoGpu: the device cannot be used.
    """

    def __init__(self, folder: Path, threads: int = 1, device: Device = CPU) -> None:
        import faiss

        file = folder / _INDEX
        if not file.exists():
            raise FileNotFoundError(f"{file} does not exist: materialize item_index again")
        faiss.omp_set_num_threads(threads)
        self._device = device
        self._index: Any = device.place(faiss.read_index(str(file)))
        self.description = read_description(folder)

    def search(
        self, queries: np.ndarray, k: int, budget: str = NORMAL
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k items with the largest inner products.

        Args:
            queries: float32 [n, d].
            k: at least 1. Whatever the budget, an HNSW index looks at no fewer than k candidates,
                and lists are probed that hold twice k items on average.
            budget: a name in `description.budgets`; a flat index looks at every item with any.

        Returns:
            Rows int64 [n, k], positions in `item_ids.json`, best first, and scores float32
            [n, k]. Where the index holds or finds fewer than k, rows end in -1.

        Raises:
            ValueError: the index has no such budget.
        """
        effort = self.description.budgets.get(budget)
        if effort is None:
            known = ", ".join(self.description.budgets)
            raise ValueError(f"search budget {budget!r} is not known: choose one of {known}")
        parameters = index_kinds.search_parameters(self._index, self._device.most(effort), k)
        scores, rows = self._index.search(queries, k, params=parameters)
        return rows, scores
