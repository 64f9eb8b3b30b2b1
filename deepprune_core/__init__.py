"""DeepPrune (arXiv 2510.08483): prune parallel reasoning traces that will give the same answer.

The package itself imports nothing; import the module you need, for example
``from deepprune_core.clustering import greedy_cluster``.
"""

__version__ = "0.1.0"
