"""How a release is replaced: sensors, fine-tunes, full retrains, the gate."""
