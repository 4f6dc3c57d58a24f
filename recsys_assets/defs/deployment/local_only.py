"""Commands that make sense on one machine only, and what does their work in a cluster."""

from recsys_assets.settings import InvalidSetting, Settings

INSTEAD = {
    "demo": "start the job initial_pipeline in Dagster's UI",
    "ui": "run `kubectl -n recsys port-forward service/dagster-dagster-webserver 3000`",
    "up": "kubectl apply starts Valkey and Triton, see k8s/",
    "down": "kubectl delete stops them, see k8s/",
    "watch": "the agent beside each Triton server watches it",
}


def require_possible(settings: Settings, command: str | None) -> None:
    """Refuses a command that would start its own services beside those of a cluster.

    Raises:
        InvalidSetting: names the command and what to do instead.
    """
    if settings.deployment != "local" and command in INSTEAD:
        raise InvalidSetting(
            "RECSYS_DEPLOYMENT",
            settings.deployment,
            f"`recsys {command}` is for one machine; {INSTEAD[command]}",
        )
