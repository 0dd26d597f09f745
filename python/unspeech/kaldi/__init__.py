"""Kaldi's files: archives, tables, data directories, alignments, features of a corpus.

In: what Kaldi or an earlier step wrote. Out: names, matrices and vectors of utterances; and the
same kinds of files, sorted as Kaldi wants them.
"""
