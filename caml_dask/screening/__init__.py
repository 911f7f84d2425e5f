"""A cohort analysed night by night: what is new, what stands, and what is unusual."""
