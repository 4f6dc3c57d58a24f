"""The models environment as pods: each training is one, of the training image.

What a training says (log lines, epochs, the version that it has published) reaches the run as
small objects below the store's URL, not as lines of the pod's log: those are lost when the log is
rotated, the connection to it breaks or the node goes away, and hours of training with them.
Objects stay until they are read. The run deletes them; let a lifecycle rule of the bucket expire
what a run that was itself killed has left below `pipes/`.

An interrupted training (its node was taken away) has published nothing, and starting the run
again begins it anew: there are no checkpoints.
"""

import re
import socket
from collections.abc import Mapping
from typing import Any

import dagster as dg

from recsys_assets.defs.pipes.pipes import (
    KEEP_MEMORY,
    ModelsEnvironment,
    module_command,
    observer,
    reported_version,
)
from recsys_assets.settings import Settings

_USER = 10001
_CONTAINER = "training"
_WRITABLE = {"tmp": "/tmp", "shm": "/dev/shm"}  # noqa: S108 - mounted, the root is read-only
_ENVIRONMENT = {"HOME": "/tmp", "NUMBA_CACHE_DIR": "/tmp/numba"}  # noqa: S108
# Neither autoscaler moves a pod that says so to save a node.
_KEEP_IN_PLACE = {
    "karpenter.sh/do-not-disrupt": "true",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
}
_GPU = "nvidia.com/gpu"
# It measures an index of the servers' CPUs.
_WITHOUT_GPUS = {"recsys_assets.models.index.index_tuning"}


class ModelsOnKubernetes(ModelsEnvironment):
    """Runs them in pods, by Dagster's `PipesK8sClient`.

    The pod gets its rights on S3 from the service account (an IAM role), no keys. It is deleted
    when the training has ended, failed, or the run is terminated. Should the run's own pod be
    killed without a chance to do so, Kubernetes deletes what that pod owns, and no training
    takes longer than `hours`.
    """

    image: str
    namespace: str
    service_account: str
    storage: str
    region: str
    gpus: int = 0
    # One fits beside what every node runs on the smallest with a GPU, of 4 CPUs and 16 GiB. For a
    # year of Complete Journey no training took more than 5.2 GB.
    cpus: int = 3
    memory: str = "12Gi"
    disk: str = "20Gi"
    start_minutes: float = 30  # a GPU node and an image of many gigabytes may have to come first
    hours: float = 12
    poll_seconds: float = 5
    owner: str = ""  # name of the pod that this runs in
    kubeconfig: str | None = None  # None: in the cluster

    @classmethod
    def from_settings(cls, settings: Settings) -> "ModelsOnKubernetes":
        """As the cluster's settings say; its pods belong to the one that this runs in.

        Raises:
            ValueError: the deployment has no cluster.
        """
        cluster = settings.cluster
        if cluster is None:
            raise ValueError(f"RECSYS_DEPLOYMENT={settings.deployment} has no cluster; set eks")
        return cls(
            time_zone=settings.time_zone,
            image=cluster.training_image,
            namespace=cluster.namespace,
            service_account=cluster.service_account,
            storage=settings.storage_url,
            region=cluster.region,
            gpus=cluster.training_gpus,
            cpus=cluster.training_cpus,
            memory=cluster.training_memory,
            owner=socket.gethostname(),  # Kubernetes names the host after the pod
        )

    def run(
        self,
        context: dg.AssetExecutionContext,
        module: str,
        extras: Mapping[str, Any],
    ) -> str:
        """Runs it in a pod."""
        from recsys_assets.defs.pipes.pods import MessagesOnS3, TrainingPods

        client = TrainingPods(
            message_reader=MessagesOnS3(self.storage, context.run.run_id, observer(context)),
            kubeconfig_file=self.kubeconfig,
            poll_interval=self.poll_seconds,
            start_seconds=60 * self.start_minutes,
        )
        gpus = 0 if module in _WITHOUT_GPUS else self.gpus
        owner = client.owner(self.namespace, self.owner) if self.owner else None
        if owner is None:
            context.log.warning("The pod has no owner: kill it by hand if this process is killed")
        invocation = client.run(
            context=context,
            extras={
                **extras,
                "time_zone": self.time_zone,
                "threads": self.cpus,
                "gpus": gpus,
            },
            namespace=self.namespace,
            image=self.image,
            command=module_command(module),
            env={
                **KEEP_MEMORY,
                **_ENVIRONMENT,
                "AWS_REGION": self.region,
                "AWS_DEFAULT_REGION": self.region,
            },
            base_pod_meta={
                **self.pod_metadata(context.run.run_id, context.asset_key.to_user_string()),
                **({"ownerReferences": [owner]} if owner else {}),
            },
            base_pod_spec=self.pod_spec(gpus),
            delete_pod_on_completion=False,  # the client has done so, and bears that it is gone
        )
        return reported_version(invocation, module)

    def pod_metadata(self, run_id: str, asset: str) -> dict[str, Any]:
        """Labels and annotations; an asset's name is shortened to what a label may be."""
        return {
            "labels": {
                "app.kubernetes.io/component": "training",
                "dagster/run-id": run_id,
                "recsys/asset": re.sub(r"[^A-Za-z0-9._-]", ".", asset)[:63].strip("._-"),
            },
            "annotations": _KEEP_IN_PLACE,
        }

    def pod_spec(self, gpus: int) -> dict[str, Any]:
        """What the pod is made of, but for image, command and environment.

        CPUs and memory are both asked for and the limit, so that the pod is the last to be
        evicted, and no thread waits for a CPU that the pod does not have.
        """
        amounts: dict[str, str] = {"cpu": str(self.cpus), "memory": self.memory}
        if gpus:
            amounts[_GPU] = str(gpus)
        spec: dict[str, Any] = {
            "serviceAccountName": self.service_account,
            # It asks for no pods; the token for the role's rights on S3 is mounted by itself.
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": round(3600 * self.hours),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": _USER,
                "runAsGroup": _USER,
                "fsGroup": _USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "volumes": [
                {"name": "tmp", "emptyDir": {"sizeLimit": self.disk}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
            ],
            "containers": [
                {
                    "name": _CONTAINER,
                    "resources": {"requests": amounts, "limits": amounts},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": name, "mountPath": path} for name, path in _WRITABLE.items()
                    ],
                }
            ],
        }
        if gpus:
            # The label is set by NVIDIA's device plugin and GPU operator, the taint by convention.
            spec["nodeSelector"] = {"nvidia.com/gpu.present": "true"}
            spec["tolerations"] = [{"key": _GPU, "operator": "Exists", "effect": "NoSchedule"}]
        return spec
