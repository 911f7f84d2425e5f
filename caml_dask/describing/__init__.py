"""How localizations are spread over a region: Ripley's functions, pair correlation, nearest neighbors."""
