"""Where Dask workers come from: this machine, a scheduler that runs already, jobs of a batch system."""
