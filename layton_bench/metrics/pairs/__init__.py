"""Metrics of a candidate and its own reference."""
