"""What a report says of a day: `drift_report` and `business_metrics` write it, sensors read it."""

OK = "ok"
DRIFTED = "drifted"
FALLEN = "fallen"
# There was too little to measure: the day says nothing, neither way.
TOO_FEW = "too_few_samples"
# Days that crossed a threshold.
ALARMING = (DRIFTED, FALLEN)
