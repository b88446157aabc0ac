"""Making records: plan, set up, evaluate, record."""
