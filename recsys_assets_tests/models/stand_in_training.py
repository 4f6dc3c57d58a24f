"""A training without a model, for a pod's place: two epochs, then a version, or a failure."""

from recsys_assets.models.training import EpochReport, order
from recsys_assets.storage import Store


def main() -> None:
    with order() as pipes:
        if pipes.extras.get("fails"):
            raise ValueError("loss is not a number")
        report = EpochReport(pipes)
        for loss in (0.5, 0.25):
            report.add({"loss": loss})
        if pipes.extras.get("forgets"):
            return
        with Store(pipes.get_extra("store")).artifact("model").new_version() as draft:
            (draft.path / "threads").write_text(str(pipes.get_extra("threads")))
        pipes.report_custom_message({"version": draft.version})


if __name__ == "__main__":
    main()
