"""Clusters of live cells, followed through windows of frames."""
