"""Files of any kind, whoever made them: opened with checks, written whole or not at all.

In: paths. Out: text, YAML, JSON and arrays, or an error that names the file and the line;
and files that appear under their names when they are complete.
"""
