"""How the paper is replicated with the core: the modules behind the notebooks.

One module an artifact, each a few calls into `deepprune_core`; `run` opens a profile's traces.
Next door: `reporting` (findings, README, the paper's numbers), `workflow` (profiles, notebooks,
sampling) and `miniature` (the small world). It belongs to a checkout and is not installed.
"""
