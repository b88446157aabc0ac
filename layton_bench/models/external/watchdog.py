"""Kills the child's process group if layton-bench is killed.

    python -I -S watchdog.py GROUP FOLDER

This script's standard input is a pipe from layton-bench. A byte means that everything is clean.
If the pipe ends without a byte, layton-bench was killed.
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
