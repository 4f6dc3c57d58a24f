"""Releases, drift, figures of the shop, and how fresh all of it is."""

from tools.dashboards.dashboard import Board, Plot


def _age(metric: str) -> str:
    """Seconds since a moment; nothing before there was one."""
    return f"time() - (max({metric}) > 0)"


def _behind(metric: str) -> str:
    """How much older a day is than the newest events."""
    return f"max(recsys_interactions_day_timestamp_seconds) - (max({metric}) > 0)"


_ROWS: dict[str, list[Plot]] = {
    "Releases": [
        Plot(
            "Which release is live",
            "short",
            {
                "promoted": 'max(recsys_promoted_release{job="exporter"})',
                "answers at {{instance}}": 'recsys_probe_release{job=~"watchdog|agent"}',
            },
            "A step up is a promotion, a step down a rollback.",
        ),
        Plot(
            "Time since the last change",
            "s",
            {"promoted": _age("recsys_release_promoted_timestamp_seconds")},
        ),
        Plot(
            "What the live release does not know",
            "s",
            {
                "its weights": _behind("recsys_release_trained_through_timestamp_seconds"),
                "its data": _behind("recsys_release_data_through_timestamp_seconds"),
            },
            "How much younger the newest events are than its training, two weeks of which alarm, "
            "and than the data that it answers from, which are refreshed every day.",
        ),
    ],
    "Drift": [
        Plot(
            "PSI by feature",
            "short",
            {"{{feature}}": "max by (feature) (recsys_drift_psi)"},
            "0.1 is worth a look, 0.25 is large.",
        ),
        Plot("The newest report alarms", "short", {"drift": "max(recsys_drift_alarming)"}),
    ],
    "The shop": [
        Plot("The newest figures have fallen", "short", {"fell": "max(recsys_business_alarming)"}),
        Plot(
            "Events",
            "cps",
            {"{{event}}": "sum by (event) (rate(recsys_events_accepted_total[5m]))"},
            "Accepted, by what shoppers did.",
        ),
        Plot(
            "Refused events",
            "cps",
            {"{{reason}}": "sum by (reason) (rate(recsys_events_refused_total[5m]))"},
        ),
        Plot(
            "Events on their way into the store",
            "short",
            {"wait": "max(recsys_events_unlanded)"},
            "They wait in the online store.",
        ),
    ],
    "Freshness": [
        Plot(
            "Age of the newest day of events",
            "s",
            {"events": _age("recsys_interactions_day_timestamp_seconds")},
            "By the clock; of recorded days it says when they were recorded.",
        ),
        Plot(
            "Reports behind the events",
            "s",
            {
                "drift": _behind("recsys_drift_day_timestamp_seconds"),
                "figures": _behind("recsys_business_day_timestamp_seconds"),
            },
            "Figures follow a day later: they wait for what is bought within a day.",
        ),
        Plot(
            "Rows landed",
            "cps",
            {"rows": "sum(rate(recsys_events_landed_rows_total[15m]))"},
        ),
        Plot(
            "Alerts of the asset graph",
            "s",
            {"{{kind}}": "time() - max by (kind) (recsys_graph_alert_timestamp_seconds)"},
            "Time since the last of each kind.",
        ),
    ],
}

MODELS = Board("models", "Recommender: models and data", "1m", "now-14d", _ROWS)
