"""Profiles, and running notebooks: what depends on what, and in which order.

Nothing here knows what a notebook computes.
"""
