"""Hear a corpus's speakers and correct them.

In: a data directory's audio, one vector an utterance, and a clusters directory.
Out: `corrections.jsonl` in that directory, which all readers of its clusters take into account.
"""
