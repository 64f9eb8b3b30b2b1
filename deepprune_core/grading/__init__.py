"""What an answer says: its spelling, its value, its unit; and one key by which it is compared.

Each answer is read alone, so *the same* is an equivalence whatever else was answered. Only
`answers.py` asks. Text of a model is never evaluated outside a process that can be killed.
"""
