"""What a judge needs beside the paper's idea: prompts, the protocol, loading, a score cache.

The judge itself is `judge.py` on the ground floor. Nothing here trains or clusters.
"""
