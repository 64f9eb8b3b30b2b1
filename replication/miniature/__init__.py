"""The miniature world: problems, solutions, reasoners and traces that a laptop can make."""
