"""Benchmarks that bring their own prompts and their own judge."""
