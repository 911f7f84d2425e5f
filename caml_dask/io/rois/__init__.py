"""Regions of interest, as files of ImageJ, GeoJSON and mask images hold them."""
