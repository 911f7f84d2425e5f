"""Results read back, and how they look when printed."""
