"""The stages of the field network: it sees regions and neighbors, exchanges messages, and votes for clusters."""
