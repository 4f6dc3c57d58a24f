"""What happens to a release in traffic: request log, outcomes, drift, business metrics."""
