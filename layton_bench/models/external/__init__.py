"""Models in a process and an environment of their own; docs/external.md has the protocol."""
