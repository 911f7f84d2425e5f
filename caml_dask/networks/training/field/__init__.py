"""Training of the field network."""
