"""Clustering: which utterances are of one speaker, from their vectors alone.

In: one vector per utterance. Out: a clusters directory, and data directories whose speakers are
the clusters. Nothing here imports TensorFlow.
"""
