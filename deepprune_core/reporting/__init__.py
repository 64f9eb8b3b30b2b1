"""What is shown: plots, tables, and the page that a run or a saved answer becomes.

Nothing here computes a result; it draws what it is given.
"""

DRAWN_DPI = 200  # dots an inch of every picture that is written
