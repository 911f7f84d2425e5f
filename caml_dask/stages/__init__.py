"""The stages of an analysis, one file a stage; each takes a ``Work`` and a unit's number, never a table."""
