"""An OpenAI-compatible server in front of another one: every answer is a pruned vote.

A client gains parallel scaling by changing its base URL. Nothing here knows the command line.
"""
