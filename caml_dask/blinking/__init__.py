"""From detections to molecules: how often and how soon a molecule is detected again, and which detections it made."""
