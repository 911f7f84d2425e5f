"""Formats in which results are written for other programs; a file each, listed in `formats`."""
