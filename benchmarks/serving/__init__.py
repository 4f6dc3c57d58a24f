"""How fast the served release is, and how it stands a flood, a long run and faults."""
