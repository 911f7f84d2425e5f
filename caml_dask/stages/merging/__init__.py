"""Stages that merge detections to molecules, before the molecules are dealt with like the localizations of any input."""
