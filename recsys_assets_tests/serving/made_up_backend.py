"""Triton's `triton_python_backend_utils`, as far as the served model uses it."""

import json
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from recsys_assets_tests.serving.made_up_stages import AT


class MetricFamily:
    """Keeps its metrics by label values; `sent` counts messages to the server."""

    COUNTER, GAUGE = "counter", "gauge"
    families: ClassVar[dict[str, "MetricFamily"]] = {}
    sent = 0

    def __init__(self, name: str, description: str, kind: str) -> None:
        assert description
        self.kind = kind
        self.metrics: dict[frozenset, Metric] = {}
        self.families[name] = self

    def Metric(self, labels: dict[str, str]) -> "Metric":  # noqa: N802 - Triton's name
        return self.metrics.setdefault(frozenset(labels.items()), Metric(self.kind))


@dataclass
class Metric:
    kind: str
    value: float = 0.0

    def increment(self, by: float) -> None:
        assert self.kind == "counter"
        assert by >= 0
        MetricFamily.sent += 1
        self.value += by

    def set(self, value: float) -> None:
        assert self.kind == "gauge"
        self.value = value


class TritonError:
    INVALID_ARG, UNAVAILABLE, CANCELLED = "INVALID_ARG", "UNAVAILABLE", "CANCELLED"

    def __init__(self, message: str, code: str) -> None:
        self.message, self.code = message, code


@dataclass
class Tensor:
    name: str
    values: np.ndarray

    def as_numpy(self) -> np.ndarray:
        return self.values


@dataclass
class InferenceResponse:
    output_tensors: list[Tensor] = field(default_factory=list)
    error: TritonError | None = None

    def __getitem__(self, name: str) -> list:
        return next(one for one in self.output_tensors if one.name == name).values.tolist()


@dataclass
class Request:
    """A Triton request of one or more users."""

    users: tuple[str, ...]
    k: int | list[int] = 10
    id: str = ""
    sent_with: dict[str, Any] | None = None

    def request_id(self) -> str:
        return self.id

    def parameters(self) -> str:
        return "" if self.sent_with is None else json.dumps(self.sent_with)

    def input(self, name: str) -> Tensor:
        count = len(self.users)
        return Tensor(
            name,
            {
                "user_id": np.array([[user.encode()] for user in self.users], dtype=object),
                "device": np.full((count, 1), b"web", dtype=object),
                "timestamp": np.full((count, 1), AT),
                "k": np.broadcast_to(self.k, count).astype(np.int32)[:, None],
            }[name],
        )


def get_input_tensor_by_name(request: Request, name: str) -> Tensor:
    return request.input(name)
