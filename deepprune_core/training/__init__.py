"""Fine-tuning the judge: the plan of batches, the loop, its resumable state, the trained model.

Nothing here knows benchmarks or notebooks.
"""
