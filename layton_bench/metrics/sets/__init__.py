"""Metrics of two whole sets of features."""
