"""Whether two answers are equal, decided in a process that can be killed.

Only `answers.py` asks. Text of a model is never evaluated outside that process.
"""
