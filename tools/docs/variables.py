"""What each environment variable means: the table of settings is made of it.

A test holds the names against those that the package reads, and the defaults against what it
takes where a variable is not set.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """One environment variable.

    Attributes:
        name: of the variable.
        meaning: what it decides, in Markdown.
        default: the value that leaving it out is the same as; None where there is no such value.
        without: what holds where `default` is None.
    """

    name: str
    meaning: str
    default: str | None = None
    without: str = "none"


VARIABLES = (
    Variable(
        "RECSYS_DEPLOYMENT",
        "`local` or `eks`; the latter also needs `RECSYS_TRAINING_IMAGE`, `RECSYS_SPARK_IMAGE`, "
        "`RECSYS_STORAGE` and `RECSYS_ONLINE_STORE_URL`",
        "local",
    ),
    Variable(
        "RECSYS_HOME",
        "everything local: instance, logs, services, default storage",
        without="`var/` of the repository",
    ),
    Variable(
        "RECSYS_STORAGE",
        "where tables, artifacts and releases live; `file://` or `s3://`",
        without="`file://$RECSYS_HOME/storage`",
    ),
    Variable(
        "RECSYS_SOURCE",
        "`complete_journey`, `movielens_100k`, or, each with its URL, `parquet`, `yoochoose` or "
        "`diginetica`",
        "complete_journey",
    ),
    Variable(
        "RECSYS_SOURCE_URL",
        "folder or `s3://` prefix of the source `parquet`; folder with the publisher's files of "
        "`yoochoose` and `diginetica`",
    ),
    Variable("RECSYS_FIRST_DAY", "first event day that partitions cover", "2017-01-01"),
    Variable(
        "RECSYS_LAST_DAY", "last event day of a recording; live data has no last day", "2018-01-01"
    ),
    Variable(
        "RECSYS_TODAY",
        "first day that history does not hold; on live data, the current day in UTC",
        "2017-10-01",
    ),
    Variable(
        "RECSYS_EVALUATION_DAYS",
        "days that the initial models are measured on: from today on where a recording holds them, "
        "else the last before today",
        "7",
    ),
    Variable("RECSYS_SKIP_DAYS", "event days to leave out, `YYYY-MM-DD` with commas between them"),
    Variable(
        "RECSYS_TIME_ZONE",
        "the shop's, such as `Europe/Berlin`: models learn hour and weekday by its clocks; a "
        "changed one counts from the next full retrain. Event days stay UTC",
        "UTC",
    ),
    Variable(
        "RECSYS_INDEX",
        "`flat`, `hnsw`, `hnswsq8`, `ivfflat`, `ivfsq8`, `ivfpq`, or `auto` for what the asset "
        "`index_tuning` has chosen",
        "hnsw",
    ),
    Variable(
        "RECSYS_BATCH_BUDGET_MS",
        "what a batch of requests may take; what would take longer gets less",
        "12",
    ),
    Variable(
        "RECSYS_SEEN_EXPIRE_DAYS",
        "days after which an unused filter of seen items is forgotten; 0 is never",
        "0",
    ),
    Variable(
        "RECSYS_SEEN_WHEN_DOWN",
        "without the online store: `show` (flagged, may repeat a bought item) or `refuse`",
        "show",
    ),
    Variable(
        "RECSYS_UNCOLLECTED_ANSWERS",
        "answers, some 3.5 kB each, that may wait in the online store; further ones are not "
        "logged, and counted",
        "1000000",
    ),
    Variable(
        "RECSYS_SHOWN_HOURS", "hours for which a shown item is not shown again; 0 is off", "0"
    ),
    Variable(
        "RECSYS_OFFLINE_STORE",
        "Feast's offline store: `duckdb`, `spark` or `athena` (the default under `eks`)",
        "duckdb",
    ),
    Variable(
        "RECSYS_ONLINE_STORE_URL",
        "Valkey or any Redis with Bloom filters; `redis+cluster://` or `rediss+cluster://` and any "
        "node of a cluster",
        "redis://127.0.0.1:6390/0",
    ),
    Variable("RECSYS_ATHENA_DATABASE", "for `RECSYS_OFFLINE_STORE=athena`", "recsys"),
    Variable("RECSYS_ATHENA_WORKGROUP", "for `RECSYS_OFFLINE_STORE=athena`", "primary"),
    Variable(
        "RECSYS_TRITON_HTTP",
        "where Triton listens for HTTP (`triton:8000` under `eks`)",
        "127.0.0.1:8700",
    ),
    Variable(
        "RECSYS_TRITON_GRPC",
        "where Triton listens for gRPC (`triton:8001` under `eks`)",
        "127.0.0.1:8701",
    ),
    Variable(
        "RECSYS_TRITON_METRICS",
        "where Triton shows its metrics (`triton:8002` under `eks`)",
        "127.0.0.1:8702",
    ),
    Variable(
        "RECSYS_TRITON_REPOSITORY",
        "live repository of the Triton beside this process",
        without="`$RECSYS_HOME/triton/models`",
    ),
    Variable(
        "RECSYS_MODELS_PYTHON",
        "Python of the models environment",
        without="`.venvs/models/bin/python` of the repository",
    ),
    Variable(
        "RECSYS_PACKAGED_DATA",
        "folder of the packaged data and encoder",
        without="`.venvs/packaged-data` of the repository",
    ),
    Variable(
        "RECSYS_IMAGE_ENCODER",
        "folder of an encoder of pictures: `model.onnx` and `preprocessor_config.json`",
        without="EfficientNet-Lite0, of the packaged data",
    ),
    Variable(
        "RECSYS_ATTRIBUTION_HOURS",
        "a purchase counts for an answer that it follows within these",
        "24",
    ),
    Variable(
        "RECSYS_DRIFT_DAYS", "alarming days of the last days that start a fine-tune, `k/n`", "2/3"
    ),
    Variable("RECSYS_COOLDOWN_DAYS", "days between fine-tunes", "4"),
    Variable("RECSYS_RETRAIN_EVERY_DAYS", "days between full retrains", "7"),
    Variable(
        "RECSYS_REJECTIONS_BEFORE_RETRAIN",
        "rejected candidates in a row that start a full retrain",
        "3",
    ),
    Variable(
        "RECSYS_WAIT_SECONDS",
        "limit of waiting for a state, such as a server that starts or a release that loads; suits "
        "a machine ten times slower than ours. Budgets of requests are not changed by it",
        "600",
    ),
    Variable("RECSYS_ALERT_URL", "webhook that alerts are posted to"),
    Variable(
        "RECSYS_API_TOKEN",
        "what callers of the HTTP services bring, one of its lines; needed beyond loopback. Of a "
        "file (`RECSYS_API_TOKEN_FILE`) it is read again while they run",
    ),
)

ON_EKS = (
    Variable("RECSYS_NAMESPACE", "where pods run", "recsys"),
    Variable("RECSYS_SERVICE_ACCOUNT", "as whom runs and trainings run", "recsys-run"),
    Variable("RECSYS_TRAINING_IMAGE", "image that trains", without="required"),
    Variable("RECSYS_TRAINING_GPUS", "GPUs of a training pod", "0"),
    Variable("RECSYS_TRAINING_CPUS", "processors of a training pod", "3"),
    Variable("RECSYS_TRAINING_MEMORY", "memory of a training pod", "12Gi"),
    Variable("RECSYS_SPARK_IMAGE", "image of Spark's executors", without="required"),
    Variable("RECSYS_SPARK_MASTER", "who starts executors", "k8s://https://kubernetes.default.svc"),
    Variable("RECSYS_SPARK_EXECUTORS", "most executors of a job", "2"),
    Variable("RECSYS_TRITON_AGENTS", "service of the fleet's agents", "triton-agents:8080"),
    Variable(
        "RECSYS_CANARY_AGENTS", "service of the canary pods' agents", "triton-canary-agents:8080"
    ),
    Variable(
        "RECSYS_TRITON_MEMORY",
        "memory limit of a Triton pod; a release that does not fit is refused before pods try",
        "3Gi",
    ),
    Variable(
        "RECSYS_TRITON_MODELS",
        "volume of models of a Triton pod; a release that does not fit is refused before pods try",
        "2Gi",
    ),
    Variable(
        "RECSYS_PROMOTION_SECONDS",
        "how long pods may take to get to a release: a download and a load",
        "600",
    ),
)
