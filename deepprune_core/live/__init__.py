"""Pruning on a live engine, while traces are being generated.

Engines live next door in `engines/`; replaying stored traces is `pruner.py`.
"""
