"""What DeepPrune is compared with: plain votes, rules that stop asking, DeepConf, Slim-SC.

Each is a small function of its own, on stored traces and on a live engine alike.
"""
