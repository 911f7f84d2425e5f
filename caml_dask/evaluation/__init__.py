"""How well the networks do: records of simulated fields and labelled tables, tables that sum them up, and figures.

What is held against a truth: the class of sampled localizations of simulated cells, the clusters that a whole analysis
finds in smaller cells, and tables that others labelled. Records become files part by part, so that an interrupted
evaluation goes on where it was; tables and figures are made from those files alone.
"""
