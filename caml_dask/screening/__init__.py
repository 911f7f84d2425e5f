"""A cohort analyzed night by night: new images, kept results, and unusual figures."""
