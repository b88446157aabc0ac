"""Models in a separate process and environment; docs/external.md has the protocol."""
