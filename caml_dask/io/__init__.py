"""Files in and out: readers of localization tables, and the store of a run."""
