"""Where training samples come from, and in which order."""
