"""The command line of layton: each command parses, calls the library, and prints."""

from layton.cli.handler import main

__all__ = ["main"]
