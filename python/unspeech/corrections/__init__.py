"""What a listener has corrected: a log that loses nothing, and what it says of the speakers.

In: `corrections.jsonl` of a clusters directory, a line for each action, and its tables.
Out: the corrected speakers, and the pairs that clustering keeps together or apart.
"""
