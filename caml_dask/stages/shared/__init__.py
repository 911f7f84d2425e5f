"""What several stages use: their view of a run, rows of other tiles, links, what the summary adds up."""
