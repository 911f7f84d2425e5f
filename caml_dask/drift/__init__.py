"""Drift of the stage during an acquisition: estimated from the localizations themselves, and how sharp they are."""
