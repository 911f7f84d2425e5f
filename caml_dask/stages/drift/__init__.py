"""Stages that correct drift, whereupon corrected localizations are analyzed like any others."""
