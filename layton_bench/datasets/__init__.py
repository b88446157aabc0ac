"""Data sets, one layout a module."""
