"""Names by which releases that were rendered before version 0.2 import what serves them."""
