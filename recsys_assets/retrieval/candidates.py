"""How deep a request searches, in evaluation as in serving: figures are of what is served."""

CANDIDATES = 300  # asked of the index at first; 600 add a twentieth to recall@100 and 2 ms
RANKED = 100  # the best of those left after seen items are taken out
ENOUGH = 100  # left after seen items are taken out; else the search goes DEEPER times as deep
DEEPER = 4
