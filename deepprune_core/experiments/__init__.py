"""The experiments behind the notebooks: one module per artifact, each a few calls into the core."""
