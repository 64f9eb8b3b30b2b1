"""What stands beside the paper: its numbers, claim by claim findings, README's blocks.

Nothing here computes a result; it compares and writes what it is given.
"""
