"""Checkpoint files: reading, fingerprints, packing, the shipped models."""
