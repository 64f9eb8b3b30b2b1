"""The command line `deepprune`: a thin face over the rooms below, one command a file.

Commands parse, call and print; whatever can be tested without a terminal lives elsewhere.
"""
