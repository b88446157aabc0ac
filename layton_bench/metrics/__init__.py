"""Metrics: mergeable accumulators over scored batches."""
