"""What every program does alike: its options, their limits, its errors and its children.

In: the words of a command line, and what users wrote into files of settings.
Out: checked values, or one line that says what to mend, and exit status 1.
"""
