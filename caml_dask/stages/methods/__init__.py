"""Stages of methods that find clusters in place of a network: what each has of its own."""
