"""What DeepPrune is compared with: plain votes, DeepConf, early stopping, adaptive consistency.

Each is a small function of its own, on stored traces and on a live engine alike.
"""
