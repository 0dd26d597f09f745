"""Log-FBANK features of a data directory's audio, with kaldi-native-fbank or Kaldi's program.

    python3 -m unspeech.fbank --data data/dev --utterances utts.1 --config conf/fbank.conf \\
        --ark fbank.1.ark --scp fbank.1.scp --num-frames frames.1 --durations dur.1 --failed bad.1

The dither is added here and seeded by the utterance's name, so the features do not depend on the
number of jobs. The two programs agree to 1e-3, except where a band holds so little of a frame's
energy that Kaldi's FFT, in single precision, rounds it off: above 4 kHz in loud speech that was
recorded at 8 kHz, errors reach 0.02.
Source: Kaldi's `src/feat/feature-fbank.cc`, `src/featbin/compute-fbank-feats.cc`.
"""

from pathlib import Path

from unspeech.audio.fbank import FbankJob, _write_lines, read_fbank_config
from unspeech.audio.utterances import DataAudio
from unspeech.cli.errors import UnspeechError, run_program
from unspeech.cli.limits import SEED, Number
from unspeech.cli.options import OptionParser
from unspeech.kaldi.archives import ArkWriter
from unspeech.kaldi.tables import read_table


def main() -> None:
    parser = OptionParser(__doc__)
    parser.add_argument("--data", required=True, type=Path, help="data directory")
    parser.add_argument(
        "--utterances", type=Path, help="file of utterances to do, first on each line (all)"
    )
    parser.add_argument("--config", required=True, type=Path, help="options, conf/fbank.conf")
    parser.add_argument("--seed", type=SEED, default=1, help="seed of the dither (1)")
    parser.add_argument("--ark", required=True, type=Path, help="features")
    parser.add_argument("--scp", required=True, type=Path, help="where they are in the ark")
    parser.add_argument("--num-frames", required=True, type=Path, help="utt2num_frames")
    parser.add_argument("--durations", required=True, type=Path, help="utt2dur, in seconds")
    parser.add_argument(
        "--failed", required=True, type=Path, help="utterances without features, and why"
    )
    parser.add_argument(
        "--max-failed", type=Number(int, "[0, inf)"), default=0,
        help="how many utterances may fail (0)",
    )  # fmt: skip
    parser.add_argument(
        "--compute-fbank-feats", metavar="PATH",
        help="Kaldi's program, instead of kaldi-native-fbank",
    )  # fmt: skip
    options = parser.parse_args()

    settings = read_fbank_config(options.config)
    audio = DataAudio(options.data, int(settings["sample-frequency"]))
    utterances = audio.utterances
    if options.utterances:
        utterances = list(read_table(options.utterances, empty_values=True))
    backend = options.compute_fbank_feats or "kaldi-native-fbank"
    print(
        f"{len(utterances)} utterances of {options.data} by {backend}, dither seed {options.seed}"
    )
    job = FbankJob(audio, utterances, settings, options.seed)
    frames: dict[str, int] = {}
    with ArkWriter(options.ark, options.scp) as writer:
        for utterance, features in job.features(options.compute_fbank_feats):
            writer.write(utterance, features)
            frames[utterance] = len(features)
        reasons = {utterance: error.reason for utterance, error in job.failed.items()}
        _write_lines(options.failed, reasons)
        if len(job.failed) > options.max_failed:
            first = next(iter(job.failed.values()))
            raise UnspeechError(
                f"{first} ({len(job.failed)} of {len(utterances)} utterances cannot be used, see "
                f"{options.failed}; mend or remove them)"
            )
        _write_lines(options.num_frames, frames)
        _write_lines(options.durations, {u: f"{job.durations[u]:.3f}" for u in frames})
    for rate, count in sorted(audio.rates.items()):
        print(f"Resampled {count} recordings from {rate} to {audio.rate} Hz")
    if audio.multichannel:
        print(f"{audio.multichannel} recordings have several channels; used the first")
    if audio.clipped:
        print(f"{audio.clipped} recordings have samples beyond ±1, clipped there")
    for utterance, reason in reasons.items():
        print(f"WARNING: no features for utterance '{utterance}': {reason}")
    hours = sum(frames.values()) * settings["frame-shift"] / 3.6e6
    print(f"Wrote {sum(frames.values())} frames ({hours:.2f} h) of {len(frames)} utterances")


if __name__ == "__main__":
    run_program(main)
