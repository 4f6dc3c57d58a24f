"""Environment variables of a deployment on a cluster, all that it cannot do without."""

EKS = {
    "RECSYS_DEPLOYMENT": "eks",
    "RECSYS_STORAGE": "s3://shop/store",
    "RECSYS_ONLINE_STORE_URL": "rediss://valkey:6379/0",
    "RECSYS_TRAINING_IMAGE": "recsys-training:1",
    "RECSYS_SPARK_IMAGE": "recsys-spark:1",
    "RECSYS_SOURCE_URL": "s3://shop/source",
    "RECSYS_FIRST_DAY": "2026-01-01",
}
