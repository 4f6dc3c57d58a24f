"""How the time of the graph's stages grows with the days of history."""
