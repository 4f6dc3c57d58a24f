"""What a deployment on Kubernetes has and a laptop has not."""

from dataclasses import dataclass

from recsys_assets.settings import reading

REGION = "eu-central-1"
# Without these nothing works there, and no default could be right.
REQUIRED = {
    "RECSYS_STORAGE": "s3:// URL of tables, artifacts and releases",
    "RECSYS_ONLINE_STORE_URL": "rediss:// URL of ElastiCache for Valkey, with its password",
    "RECSYS_TRAINING_IMAGE": "image that trains, see k8s/images/training",
    "RECSYS_SPARK_IMAGE": "image of Spark's executors",
}


@dataclass(frozen=True)
class Cluster:
    """Where pods run, what they are made of, and how the fleet of Triton servers is reached.

    Every Triton pod has an agent beside it that brings it to the promoted release and says at
    `agents`, a headless service, which one it answers with. The pods of `canary_agents` are
    brought to the newest release instead. A pod that serves has `triton_memory` and, for models,
    `triton_models` bytes of disk, as its manifest says. All pods together may take
    `promotion_seconds` to get to a release, which is a download and a load. Pods of Dagster's chart
    have its instance mounted in `dagster_home`; others have none, and it is empty.
    """

    namespace: str
    service_account: str
    training_image: str
    training_gpus: int
    training_cpus: int
    training_memory: str
    spark_master: str
    spark_image: str
    spark_executors: int
    agents: str
    canary_agents: str
    triton_memory: int
    triton_models: int
    promotion_seconds: int
    region: str
    dagster_home: str

    @classmethod
    def load(cls, environ: reading.Environ) -> "Cluster":
        """Reads it.

        Raises:
            MissingSettings: names each variable that is not set.
            InvalidSetting: names the variable, its value and the remedy.
        """
        reading.require(environ, "eks", REQUIRED)
        return cls(
            namespace=environ.get("RECSYS_NAMESPACE") or "recsys",
            service_account=environ.get("RECSYS_SERVICE_ACCOUNT") or "recsys-run",
            training_image=environ["RECSYS_TRAINING_IMAGE"],
            training_gpus=reading.whole(environ, "RECSYS_TRAINING_GPUS", 0),
            training_cpus=reading.positive(environ, "RECSYS_TRAINING_CPUS", 3),
            training_memory=environ.get("RECSYS_TRAINING_MEMORY") or "12Gi",
            spark_master=reading.url(
                environ, "RECSYS_SPARK_MASTER", "k8s://https://kubernetes.default.svc", ("k8s",)
            ),
            spark_image=environ["RECSYS_SPARK_IMAGE"],
            spark_executors=reading.positive(environ, "RECSYS_SPARK_EXECUTORS", 2),
            agents=reading.address(environ, "RECSYS_TRITON_AGENTS", "triton-agents:8080"),
            canary_agents=reading.address(
                environ, "RECSYS_CANARY_AGENTS", "triton-canary-agents:8080"
            ),
            triton_memory=reading.quantity(environ, "RECSYS_TRITON_MEMORY", "3Gi"),
            triton_models=reading.quantity(environ, "RECSYS_TRITON_MODELS", "2Gi"),
            promotion_seconds=reading.positive(environ, "RECSYS_PROMOTION_SECONDS", 600),
            region=environ.get("AWS_REGION") or REGION,
            dagster_home=environ.get("DAGSTER_HOME", ""),
        )


@dataclass(frozen=True)
class Athena:
    """Where Feast joins with `RECSYS_OFFLINE_STORE=athena`."""

    region: str
    database: str
    workgroup: str

    @classmethod
    def load(cls, environ: reading.Environ) -> "Athena":
        """Reads it."""
        return cls(
            region=environ.get("AWS_REGION") or REGION,
            database=environ.get("RECSYS_ATHENA_DATABASE") or "recsys",
            workgroup=environ.get("RECSYS_ATHENA_WORKGROUP") or "primary",
        )
