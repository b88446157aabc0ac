"""From names to things: plugins, models, metrics, and what is available here."""
