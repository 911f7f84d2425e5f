"""Stages that merge detections to molecules, whereupon molecules are analyzed like any localizations."""
