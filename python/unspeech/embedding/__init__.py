"""Embedding: what a trained model makes of utterances, and heads that are solved for a corpus.

In: a model directory, and features or audio of utterances.
Out: rows over time for Kaldi, one vector per utterance, and models with another head.
"""
