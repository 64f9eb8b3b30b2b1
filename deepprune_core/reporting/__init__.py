"""What a run shows: plots, tables, the report, README's blocks, the paper's numbers.

Nothing here computes a result; it draws what it is given.
"""
