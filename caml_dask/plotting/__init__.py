"""Results drawn with matplotlib, which is imported when something is drawn."""
