"""Sound: decoded, made into features, and copied at other speeds and through other rooms.

In: audio files, folders of them, and the wav.scp of data directories.
Out: samples, data directories and log-FBANK features.
"""
