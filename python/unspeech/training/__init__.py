"""Training: which windows a step sees, what it makes small, and on which devices.

In: settings, a corpus of features, and which utterances share a recording or a speaker.
Out: a model directory: checkpoints, a log, and the best weights on held-out recordings.
"""
