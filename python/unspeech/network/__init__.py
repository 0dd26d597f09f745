"""Models: their settings, encoders, pooling, heads, and the directory that holds a trained one.

In: settings and windows of frames, (windows, frames, dim).
Out: embeddings, (windows, embedding), and model directories.
"""
