"""Outlives layton-bench by a moment: kills the child's process group if layton-bench is gone.

    python -I -S watchdog.py GROUP FOLDER

Run as a script with its standard input a pipe from layton-bench. A byte means that all is cleaned
up; the end of the pipe without one means that layton-bench was killed.
"""

import contextlib
import os
import shutil
import signal
import sys


def main() -> None:
    """Wait for the end of layton-bench."""
    group, folder = int(sys.argv[1]), sys.argv[2]
    if sys.stdin.buffer.read(1):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
