"""Where localizations lie: the partition into tiles, blocks of near ones, exact neighbors, links between them."""
