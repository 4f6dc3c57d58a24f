import pytest
from kubernetes.client import (
    V1ContainerState,
    V1ContainerStateTerminated,
    V1ContainerStateWaiting,
    V1ContainerStatus,
    V1Pod,
    V1PodCondition,
    V1PodStatus,
)

from recsys_assets.defs.pipes.pods import pod_trouble


def pod(phase: str, state: V1ContainerState | None = None, **status: object) -> V1Pod:
    container = V1ContainerStatus(
        name="training", image="i", image_id="", ready=False, restart_count=0, state=state
    )
    statuses = [container] if state else None
    return V1Pod(status=V1PodStatus(phase=phase, container_statuses=statuses, **status))


def ended(exit_code: int, reason: str = "Error") -> V1ContainerState:
    return V1ContainerState(
        terminated=V1ContainerStateTerminated(exit_code=exit_code, reason=reason)
    )


def waiting(reason: str) -> V1ContainerState:
    return V1ContainerState(waiting=V1ContainerStateWaiting(reason=reason))


@pytest.mark.parametrize(
    "state",
    [None, waiting("ContainerCreating"), waiting("PodInitializing"), waiting("ErrImagePull")],
)
def test_a_pod_that_may_come_right_by_itself_is_given_time(state):
    assert pod_trouble(pod("Pending", state), overdue=False) is None
    assert pod_trouble(pod("Pending", state), overdue=True) is not None


def test_a_pod_that_works_is_never_overdue():
    running = V1ContainerState(running={})

    assert pod_trouble(pod("Running", running), overdue=True) is None


def test_an_image_that_cannot_be_had_is_not_waited_for():
    assert "training image" in str(
        pod_trouble(pod("Pending", waiting("InvalidImageName")), overdue=False)
    )


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (pod("Failed", ended(137, "OOMKilled")), "OOMKilled (exit code 137): it needs more memory"),
        (pod("Failed", ended(1)), "Error (exit code 1): its own error is in the run's log"),
        (
            pod("Failed", reason="Evicted", message="disk"),
            "Evicted (disk): its node was taken away",
        ),
        (pod("Failed", reason="DeadlineExceeded"), "DeadlineExceeded (no message): it took longer"),
        (
            pod(
                "Failed",
                ended(143),
                conditions=[V1PodCondition(type="DisruptionTarget", status="True")],
            ),
            "Error (exit code 143): its node was taken away or drained",
        ),
    ],
)
def test_a_failure_has_a_reason_and_a_remedy(failed, said):
    assert str(pod_trouble(failed, overdue=False)).startswith(said)
