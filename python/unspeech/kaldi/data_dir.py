"""Which tables a Kaldi data directory may hold, and what their keys are.

Source: Kaldi's `utils/fix_data_dir.sh` and `utils/copy_data_dir.sh`.
"""

FEATURES = ("feats.scp", "vad.scp", "utt2num_frames")  # by utterance, of its features
OF_UTTERANCES = ("text", "utt2dur", "utt2lang", "utt2uniq", "utt2warp")
OF_RECORDINGS = ("reco2dur", "reco2file_and_channel")  # of utterances where there is no `segments`
OF_SPEAKERS = ("spk2gender", "spk2warp")
UNCHANGED = ("frame_shift", "stm", "glm", "ctm")  # not tables, or not by these names
