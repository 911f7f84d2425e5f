"""One run from its inputs to its summary, and what can be asked of it."""
