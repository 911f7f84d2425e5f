"""Files in and out: readers of localization tables, the run directory and the store of a run."""
