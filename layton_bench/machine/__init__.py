"""The computer: devices, clock, memory, worker processes, files."""
