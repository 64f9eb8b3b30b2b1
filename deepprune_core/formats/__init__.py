"""Files of traces: reading and writing them, ours and other people's.

No method here: a format knows traces and nothing of judges or clusters.
"""
