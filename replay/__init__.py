"""Recorded days as live traffic, with the daemon doing the rest."""
