"""Promotion over the Triton servers of a cluster: one record, and every pod follows it by itself.

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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

from recsys_assets.serving.agents import (
    Counted,
    Patience,
    Pods,
    PodState,
    behind,
    everyone,
    those_that_answer,
)
from recsys_assets.serving.changing import PromotionError, Step
from recsys_assets.serving.model_control import require_live
from recsys_assets.serving.release import Releases
from recsys_assets.serving.release_events import Action, ChangedMeanwhile, Promoted, Reason

_LOG = logging.getLogger(__name__)
_PATIENCE = Patience()


@dataclass(frozen=True)
class Fleet:
    """The servers behind a service, as `changing.Live`.

    Attributes:
        grpc: the service that storefronts ask, host:port.
        pods: all of its pods.
        canary: pods that serve the newest release and that nobody else asks.
        patience: how long pods may take.
        log: takes lines of progress.
    """

    grpc: str
    pods: Pods
    canary: Pods
    patience: Patience = _PATIENCE
    log: Callable[[str], object] = _LOG.info

    @classmethod
    def behind(
        cls,
        grpc: str,
        agents: str,
        canary_agents: str,
        patience: Patience = _PATIENCE,
        log: Callable[[str], object] = _LOG.info,
    ) -> "Fleet":
        """The fleet of a service and of the headless services of its agents."""
        return cls(grpc, Pods(agents), Pods(canary_agents), patience, log)

    def require_live(self) -> None:
        """Refuses to go on if the service does not answer.

        Raises:
            PromotionError: it does not.
        """
        pods = "`kubectl get pods -l app.kubernetes.io/component=triton`"
        require_live(self.grpc, f"see {pods}, or correct RECSYS_TRITON_GRPC")

    def exclusive(self) -> AbstractContextManager[None]:
        """Nothing is held: of two changes at once, the second to record its own fails."""
        return nullcontext()

    def change(self, releases: Releases, step: Step) -> Promoted:
        """Proves the release on the canary pods, records it, and waits for all pods.

        Raises:
            PromotionError: the canary pods do not serve it; another change was recorded
                meanwhile; or too many pods did not get there, and the record has been taken back.
        """
        if step.action == "promoted":
            self._prove(releases, step.release)
        counted = everyone if step.serving is None else those_that_answer(self.pods.states())
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
                f"{len(late)} pods: {_named(late)}"
            )

    def lagging(self) -> frozenset[int]:
        """What the pods answer with: all the same, but for those that were left behind."""
        return frozenset(s.serving for s in self.pods.states() if s.serving is not None)

    def _prove(self, releases: Releases, release: int) -> None:
        if releases.rejection(release) is not None:
            self.log(f"release {release} was rejected, so no canary pod serves it: it is forced")
            return
        fault = _not_served(self.canary, release, self.patience, self.log)
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

    grpc: str
    pods: Pods
    patience: Patience = _PATIENCE

    @property
    def wait_seconds(self) -> float:
        """How long the pods may take."""
        return self.patience.seconds

    @classmethod
    def behind(cls, grpc: str, agents: str, patience: Patience = _PATIENCE) -> "CanaryPods":
        """The pods of a service and of the headless service of their agents."""
        return cls(grpc, Pods(agents), patience)

    @contextmanager
    def serving(self, releases: Releases, release: int) -> Iterator[tuple[str, str]]:
        """Waits until they serve the release, which must be the newest; see `CanaryServer`."""
        releases.manifest(release)
        yield self.grpc, _not_served(self.pods, release, self.patience, _LOG.info)


def _not_served(
    canary: Pods, release: int, patience: Patience, log: Callable[[str], object]
) -> str:
    """Why the canary pods do not serve a release; empty once they do.

    They serve the newest one. An older one, which a person may promote again, was there before.
    """
    states = canary.states()
    if states and all(state.wanted is not None and state.wanted > release for state in states):
        return ""
    late = behind(canary.wait_for(release, everyone, patience, log), release)
    return f"canary pods do not serve release {release}: {_named(late)}" if late else ""


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


def _named(states: list[PodState]) -> str:
    return "; ".join(map(str, states))
