"""Training: the loop, what it reports, callbacks, optimisers, schedules and evaluation.

Nothing here knows how a model is built: the loop and the evaluation ask for what `Trainable` names.
"""
