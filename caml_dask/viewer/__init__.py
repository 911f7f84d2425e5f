"""A page on which a run of any size is looked at, served on this machine alone."""
