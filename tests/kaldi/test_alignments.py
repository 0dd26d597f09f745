"""Alignments from CTM files."""

import pytest
from helpers.corpora import counting_corpus

from unspeech.cli.errors import UnspeechError
from unspeech.kaldi.alignments import Unit, read_ctm
from unspeech.training.groupings import units_of


def test_ctm_is_read_in_frames_and_bad_lines_are_named(tmp_path):
    ctm = tmp_path / "ali.ctm"
    ctm.write_text("u0 1 0.00 0.07 SIL\nu0 1 0.07 0.29 a\nu9 1 0.00 0.50 b\n")
    alignments = read_ctm(ctm)
    assert alignments["u0"] == [Unit(0, 7, "SIL"), Unit(7, 36, "a")]
    corpus = counting_corpus([30, 30])
    assert units_of(corpus, alignments, ctm) == [[Unit(0, 7, "SIL")], []]
    with pytest.raises(UnspeechError, match="no unit of any utterance, such as 'u0'"):
        units_of(corpus, {"other": alignments["u0"]}, ctm)
    ctm.write_text("u0 1 0.00 0.07 SIL\nu0 1 0.07\n")
    with pytest.raises(UnspeechError, match=r"ali.ctm:2: expected '<utterance> <channel>"):
        read_ctm(ctm)
