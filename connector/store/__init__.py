"""Where state lives between runs; the only place that knows tables."""
