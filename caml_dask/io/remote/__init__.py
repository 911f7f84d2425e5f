"""Objects that lie elsewhere: inputs by URL, and copies of finished images."""
