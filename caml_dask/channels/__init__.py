"""Two and more channels: how finished images of a run lie to each other, against randomness."""
