"""Promotion over the Triton servers of a cluster: one record, and every pod follows it by itself.

Whether a release fits into the pods that are to serve it is said before they try: one that does
not is killed for its memory while it loads, or evicted for its disk, again and again.

Each pod's agent loads a recorded release beside the one that answers, proves it by a real
inference, and only then switches. So a change is a record, preceded by a proof on the canary pods
and followed by waiting until all pods agree; where too many do not get there, the record is taken
back, and the pods that had switched go back to what they still hold.

What a storefront sees of a change: for some seconds, answers of the old release and of the new one,
by the pod that a request meets. Every single answer is of one release, which it names; none is
refused or waits. A page that asks twice may get slates of both.

A run that is killed after it has recorded a release leaves the pods to follow the record. What is
not done then is the watching: promoting the same release again makes up for it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

from recsys_assets.releases.release import Releases
from recsys_assets.releases.release_events import Action, ChangedMeanwhile, Promoted, Reason
from recsys_assets.rollout.agents import (
    Counted,
    Patience,
    Pods,
    PodState,
    anyone,
    behind,
    everyone,
    reachable,
    those_that_answer,
)
from recsys_assets.rollout.release_target import Answering, PromotionError, ReleaseChange

_MIB = 1 << 20
# The server itself, its response cache, and shared memory of its processes.
_SERVER_BYTES = (250 + 64 + 128) * _MIB
# What a model process takes (docs/results/quantized.md; `capacity/inputs.py`): its libraries, and
# for each byte of a release's files.
_PROCESS_BYTES = 76e6
_PROCESS_BYTES_PER_FILE_BYTE = 1.7
# `instance_group` of triton_repo/pipeline/config.pbtxt.
_PROCESSES = 2
_LOADED = 2  # the one that answers, and the one that is coming or was before
_LAID = 3  # both of these on the way from one to the other
_LOG = logging.getLogger(__name__)
_PATIENCE = Patience()


@dataclass(frozen=True)
class PodSize:
    """What a Triton pod may use: its memory limit, and its volume of models, in bytes."""

    memory: int
    models: int


def misfit(release: int, manifest: Mapping[str, Any], pod: PodSize) -> str:
    """Why a release does not fit into a pod, with the remedy; empty if it does.

    Args:
        release: its number.
        manifest: `Releases.manifest(release)`.
        pod: what there is.
    """
    size = sum(file["bytes"] for file in manifest.get("files", {}).values())
    process = _PROCESS_BYTES + _PROCESS_BYTES_PER_FILE_BYTE * size
    memory = _SERVER_BYTES + _LOADED * _PROCESSES * process
    if memory > pod.memory:
        return _gib(release, "memory", memory, pod.memory, "RECSYS_TRITON_MEMORY")
    if _LAID * size > pod.models:
        return _gib(release, "disk", _LAID * size, pod.models, "RECSYS_TRITON_MODELS")
    return ""


def _gib(release: int, what: str, needed: float, there: int, variable: str) -> str:
    return (
        f"release {release} takes about {needed / _MIB:,.0f} MiB of {what} in a pod that has "
        f"{there / _MIB:,.0f}: give Triton's pods more, and {variable} the same, or render it with "
        "int8 embeddings"
    )


@dataclass(frozen=True)
class Fleet:
    """The servers behind a service, as `ReleaseTarget`.

    They are reached one by one through their agents, never through the service: that knows ready
    pods only, and before the first promotion, or after a bad one, there may be none.

    Attributes:
        pods: all pods that answer shoppers, ready or not.
        canary: pods that serve the newest release and that nobody else asks.
        size: of each pod.
        patience: how long pods may take.
        log: takes lines of progress.
    """

    pods: Pods
    canary: Pods
    size: PodSize
    patience: Patience = _PATIENCE
    log: Callable[[str], object] = _LOG.info

    @classmethod
    def behind(
        cls,
        agents: str,
        canary_agents: str,
        size: PodSize,
        patience: Patience = _PATIENCE,
        log: Callable[[str], object] = _LOG.info,
    ) -> "Fleet":
        """The fleet behind the headless services of its agents."""
        return cls(Pods(agents), Pods(canary_agents), size, patience, log)

    def exclusive(self) -> AbstractContextManager[None]:
        """Nothing is held: of two changes at once, the second to record its own fails."""
        return nullcontext()

    def change(self, releases: Releases, step: ReleaseChange) -> Promoted:
        """Proves the release on the canary pods, records it, and waits for all pods.

        Raises:
            PromotionError: it is too large, or the canary pods do not serve it; another change was
                recorded meanwhile; or too many pods did not get there, and the record has been
                taken back.
        """
        if step.action == "promoted":
            self._prove(releases, step.release)
        counted = reachable if step.serving is None else those_that_answer(self.pods.states())
        changed = _record(
            releases, step.release, step.before, step.reason, step.action, step.serving
        )
        late = self._too_many_behind(step.release, counted)
        if not late:
            return changed
        fault = f"release {step.release} is not served by {len(late)} pods: {_named(late)}"
        if step.action == "rolled back" or step.serving is None:
            raise PromotionError(f"{fault}. It stays recorded as live, and they keep trying")
        former = step.serving
        why = Reason(fault, "fleet")
        _record(releases, former.release, former.before, why, "rolled back", changed)
        lost = self._too_many_behind(former.release, counted)
        also = f", which {_named(lost)} does not answer with yet" if lost else ""
        raise PromotionError(f"{fault}. Release {former.release} is live again{also}")

    def confirm(self, releases: Releases, serving: Promoted) -> None:
        """Waits until all pods answer with what is recorded.

        Raises:
            PromotionError: too many do not.
        """
        late = self._too_many_behind(serving.release, those_that_answer(self.pods.states()))
        if late:
            raise PromotionError(
                f"release {serving.release} is live at {releases.url}, but not served by "
                f"{len(late)} pods: {_named(late)}. They keep trying: `recsys status` says what "
                "hinders them"
            )

    def answering(self, release: int) -> Answering:
        """The pods that answer with a release; one whose agent is silent too has gone."""
        states = self.pods.wait_for(release, anyone, self.patience, log=_silent)
        return Answering(
            tuple(state.grpc for state in states if state.serving == release),
            lambda address: address not in {s.grpc for s in self.pods.states() if s.asked},
        )

    def _prove(self, releases: Releases, release: int) -> None:
        fault = misfit(release, releases.manifest(release), self.size)
        if not fault and releases.rejection(release) is not None:
            self.log(f"release {release} was rejected, so no canary pod serves it: it is forced")
            return
        if not fault:
            _, fault = _canaries_with(release, self.canary, self.patience, self.log)
        if fault:
            raise PromotionError(f"release {release} was not promoted: {fault}")

    def _too_many_behind(self, release: int, counted: Counted) -> list[PodState]:
        """Pods that did not get to a release, if they are more than may be left behind."""
        states = self.pods.wait_for(release, counted, self.patience, self.log)
        late = behind(states, release, counted)
        there = sum(state.serving == release for state in states)
        if not there:
            return states
        if len(late) > self.patience.most_behind * (there + len(late)):
            return late
        if late:
            self.log(f"left behind, and still trying: {_named(late)}")
        return []


@dataclass(frozen=True)
class CanaryPods:
    """Pods that serve the newest release by themselves, as `canary.CanaryServer`."""

    pods: Pods
    size: PodSize
    patience: Patience = _PATIENCE

    @property
    def wait_seconds(self) -> float:
        """How long the pods may take."""
        return self.patience.seconds

    @classmethod
    def behind(cls, agents: str, size: PodSize, patience: Patience = _PATIENCE) -> "CanaryPods":
        """The pods behind the headless service of their agents."""
        return cls(Pods(agents), size, patience)

    @contextmanager
    def serving(self, releases: Releases, release: int) -> Iterator[tuple[str, str]]:
        """Waits until they serve the release, which must be the newest; see `CanaryServer`."""
        fault = misfit(release, releases.manifest(release), self.size)
        if fault:
            yield "", fault
            return
        states, fault = _canaries_with(release, self.pods, self.patience, _LOG.info)
        yield states[0].grpc, fault


def _canaries_with(
    release: int, canary: Pods, patience: Patience, log: Callable[[str], object]
) -> tuple[list[PodState], str]:
    """The canary pods, and why they do not serve a release: empty once they do.

    They serve the newest one. An older one, which a person may promote again, was there before.
    """
    states = canary.states()
    if states and all(state.wanted is not None and state.wanted > release for state in states):
        return states, ""
    states = canary.wait_for(release, everyone, patience, log)
    late = behind(states, release)
    return states, f"canary pods do not serve release {release}: {_named(late)}" if late else ""


def _record(
    releases: Releases,
    release: int,
    before: tuple[int, ...],
    reason: Reason,
    action: Action,
    expected: Promoted | None,
) -> Promoted:
    """Records a change, unless another one has replaced the record that it builds on."""
    try:
        return releases.record(release, before, reason, action, expected=expected)
    except ChangedMeanwhile as error:
        raise PromotionError(str(error)) from error


def _silent(_: str) -> None:
    """Of pods that were told of before."""


def _named(states: list[PodState]) -> str:
    return "; ".join(map(str, states))
