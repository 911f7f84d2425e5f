"""Readers of localization tables: formats are recognized by their content, and everything becomes nm."""
