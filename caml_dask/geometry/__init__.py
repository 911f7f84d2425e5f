"""Outlines of clusters in the plane and in space, and what is measured of them."""
