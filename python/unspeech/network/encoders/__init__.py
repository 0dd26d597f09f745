"""Encoders, a file for each family; the table of their names is in `table`.

In: windows of frames, (windows, frames, dim).
Out: what a head makes embeddings of, (windows, features).
"""
