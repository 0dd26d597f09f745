"""Evaluation: how well vectors and clusters separate speakers, as figures and pictures.

In: vectors, clusterings and gold speakers. Out: scores, PNG files and the report of a run.
Nothing here imports TensorFlow.
"""
