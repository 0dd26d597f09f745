"""A model's settings: typed, checked, read once from YAML and options, kept in `config.yaml`.

Names are the original program's where the idea is the same.
"""

import dataclasses
from dataclasses import dataclass

from unspeech.files.settings import setting

SPEAKER_DRAWS = 4  # draws of one speaker that a batch holds when negatives are within speakers
FRAMES_A_SECOND = 100  # of features, as Kaldi makes them


@dataclass(frozen=True)
class Config:
    """All that is needed to rebuild a model and to repeat its training. Lengths are in frames."""

    # Input
    feat_size: int = setting(40, "dimension of a feature frame", "[1, 100000]")
    end_to_end: bool = setting(
        False, "train on waveforms, with a learnt filter bank; lengths are then in samples"
    )
    sample_rate: int = setting(
        16000, "with end_to_end: Hz; audio at another rate is resampled", "[100, 1000000]"
    )
    window_length: int = setting(64, "length of the target window", "[1, 10000000]")
    window_neg_length: int = setting(64, "length of a context window", "[1, 10000000]")
    # Sampling
    left_contexts: int = setting(
        2, "windows before the target, those of the gap included", "[0, 1000]"
    )
    right_contexts: int = setting(
        2, "windows after the target, those of the gap included", "[0, 1000]"
    )
    context_sampling: str = setting(
        "adjacent",
        "where contexts are: beside the target; anywhere in its recording; or, by speaker, in "
        "any utterance of its speaker in pseudo_utt2spk",
    )
    pseudo_utt2spk: str = setting("", "speakers for context_sampling, those of a clustering")
    left_gap: int = setting(
        0, "how many of the windows just before the target to leave out", "[0, 1000]"
    )
    right_gap: int = setting(
        0, "how many of the windows just after the target to leave out", "[0, 1000]"
    )
    ali_ctm: str = setting("", "CTM file: its units are the windows; needs a Dynamic_ encoder")
    negative_samples: int = setting(4, "negative pairs a target", "[0, 100000]")
    sample_2x_neg: bool = setting(
        True, "both windows of a negative pair are drawn at random; else each target with others"
    )
    spk2utt: str = setting("", "draw negative pairs within the speakers of this file")
    minimum_speaker_length: int = setting(
        4, "with spk2utt: leave out speakers with fewer utterances", "[1, inf)"
    )
    batch_size: int = setting(32, "targets a step", "[2, 1000000]")
    heldout_fraction: float = setting(
        0.05, "fraction of recordings kept to choose the best model", "(0, 1)"
    )
    # Network
    normalize_input: bool = setting(
        False,
        "shift and scale each feature dimension by its mean and standard deviation in training",
    )
    filter_sizes: int = setting(
        512, "with end_to_end: length of the learnt filters in samples", "[1, 100000]"
    )
    num_filters: int = setting(40, "with end_to_end: number of learnt filters", "[1, 100000]")
    first_layer_tanh: bool = setting(True, "tanh after the learnt filters, else leaky ReLU")
    first_layer_log1p: bool = setting(True, "log(1 + |x|) after that")
    embedding_transformation: str = setting("Vgg16big", "encoder, by its name in the table")
    tdnn_channels: int = setting(192, "TDNN, ECAPA: channels", "[8, 100000]")
    pooled_channels: int = setting(
        512, "TDNN, ECAPA: channels whose statistics are taken", "[8, 100000]"
    )
    time_stride: int = setting(2, "TDNN, ECAPA: frames from one output to the next", "[1, 1000]")
    pooling: str = setting(
        "mean,deviation",
        "Statistics, TDNN, ECAPA: what is taken of frames over time, some of "
        "mean,deviation,difference,correlation",
    )
    correlation_channels: int = setting(
        24, "channels that frames are projected to for their correlations", "[2, 1000]"
    )
    feature_statistics: bool = setting(
        False, "TDNN, ECAPA: put the same statistics of the features beside"
    )
    rnn_hidden_cells: int = setting(512, "cells of an LSTM", "[1, 100000]")
    dense_block_filters: int = setting(5, "DenseNet: channels of a layer in a block", "[1, 10000]")
    dense_block_layers_connected: int = setting(
        3, "DenseNet: layers of a block after its first", "[1, 1000]"
    )
    dense_block_filters_transition: int = setting(
        4, "DenseNet: channels between its blocks", "[1, 10000]"
    )
    num_highway_layers: int = setting(6, "HighwayDnn: number of highway layers", "[1, 1000]")
    num_dnn_layers: int = setting(3, "BaselineDnn: number of layers", "[1, 1000]")
    batch_normalization: bool = setting(
        False, "batch normalisation in encoders without their own; TDNN, ECAPA: of what is pooled"
    )
    batch_normalization_decay: float = setting(0.999, "decay of its moving averages", "[0, 1)")
    force_resnet_istraining: bool = setting(
        False, "let Resnet encoders normalise by each batch's statistics after training too"
    )
    tied_embeddings_transforms: bool = setting(True, "one encoder for targets and contexts")
    tied_final_embeddings_transforms: bool = setting(False, "one head for targets and contexts")
    fc_size: int = setting(
        2048, "width of the layer before the embedding; 0: no such layer", "[0, 1000000]"
    )
    embedding_size: int = setting(
        100, "dimension of an embedding; 0: all that a solved head has", "[0, 100000]"
    )
    solve_head: bool = setting(
        False, "at the end of training, put a head on top that is solved from contexts"
    )
    total_weight: float = setting(
        0.25, "solve_head: weight of the total covariance beside that within recordings", "[0, 1e6]"
    )
    embedding_limit: float = setting(
        4.0, "solve_head: value at which embeddings end smoothly; 0: they do not", "[0, 1e6]"
    )
    dropout_keep_prob: float = setting(
        0.9, "fraction of units kept between the two final layers", "(0, 1]"
    )
    unit_normalize: bool = setting(False, "scale each embedding to unit length")
    use_dot_combine: bool = setting(
        True, "a pair's logit is the dot product; else a projection of the difference"
    )
    unit_normalize_var: bool = setting(True, "scale embeddings by one trained factor")
    prototypes: int = setting(1024, "dino: how many", "[2, 1000000]")
    teacher_momentum: float = setting(
        0.99, "dino: fraction of its weights that a teacher keeps a step", "[0, 1]"
    )
    margin: float = setting(
        0.0, "infonce: what is taken off the cosines of positive pairs", "[-2, 2]"
    )
    initial_scale: float = setting(
        1.0, "that factor at first; with infonce, 1 over the root of the temperature", "(0, 10000]"
    )
    # Augmentation, of log-FBANK; see training.augmentation
    augment_warp: float = setting(
        0.0, "warp the vocal tract by up to this log factor, alike in target and contexts", "[0, 1]"
    )
    augment_reverb: float = setting(0.0, "fraction of windows that get a room's tail", "[0, 1]")
    augment_noise: float = setting(0.0, "fraction of windows that get a noise floor", "[0, 1]")
    augment_colour: float = setting(
        0.0, "standard deviation of a smooth frequency response, nepers", "[0, 100]"
    )
    augment_gain: float = setting(
        0.0, "standard deviation of the level, nepers of power", "[0, 100]"
    )
    augment_band: float = setting(0.0, "fraction of windows that are limited to a band", "[0, 1]")
    augment_mask: float = setting(
        0.0, "largest fraction of bands and of frames that are blanked out", "[0, 1]"
    )
    # Training
    objective: str = setting("logistic", "objective, by its name in the table")
    use_weighted_loss_func: bool = setting(
        False, "weigh positive pairs so that they count as much as the negative ones in all"
    )
    initial_model: str = setting("", "model directory to begin with the weights of")
    num_steps: int = setting(100_000, "training length in steps", "[1, inf)")
    learn_rate: float = setting(
        3e-4, "Adam's step size, the largest if there is a schedule", "[0, 1000]"
    )
    learn_rate_schedule: str = setting(
        "constant", "or cosine: up in the first steps, then down to nearly nothing at the end"
    )
    weight_decay: float = setting(0.0, "AdamW's decay of weights, times the step size", "[0, 1000]")
    l2_reg: float = setting(1e-4, "L2 penalty on weights, half the squared norm each", "[0, 1000]")
    gradient_clipping: float = setting(
        10.0, "clip each weight's gradient at this norm; 0: never", "[0, inf)"
    )
    mixed_precision: bool = setting(
        False, "compute layers in bfloat16, for GPUs that are faster at it; weights stay float32"
    )
    jit_compile: bool = setting(False, "compile a step with XLA, for GPUs; repeatable only roughly")
    steps_per_checkpoint: int = setting(
        200, "steps between reports, evaluations and checkpoints", "[1, inf)"
    )
    seed: int = setting(1, "seed of initial weights, sampling and dropout", "[0, inf)")

    @property
    def span(self) -> int:
        """Frames that one target and all its contexts cover; utterances need at least as many."""
        if self.context_sampling != "adjacent":
            return max(self.window_length, self.window_neg_length)
        contexts = self.left_contexts + self.right_contexts
        return self.window_length + contexts * self.window_neg_length

    @property
    def contexts(self) -> int:
        """Context windows of a target, and so its positive pairs."""
        return self.left_contexts - self.left_gap + self.right_contexts - self.right_gap

    @property
    def targets_anywhere(self) -> bool:
        """Whether any window of a draw can be the target of a negative pair, not only its own.

        Else no target would begin in the first windows of an utterance or end in the last ones,
        which in the original negative pairs do. It costs a head where targets and contexts share
        an encoder; where they do not, it would cost as much again as all contexts.
        """
        drawn = self.objective == "logistic" and self.context_sampling == "adjacent"
        return drawn and self.sample_2x_neg and self.tied_embeddings_transforms

    @property
    def input_size(self) -> int:
        """Dimension of what windows are cut from: features, or samples with `end_to_end`."""
        return 1 if self.end_to_end else self.feat_size

    @property
    def input_rate(self) -> int:
        """Frames a second of what windows are cut from."""
        return self.sample_rate if self.end_to_end else FRAMES_A_SECOND

    @property
    def augmented(self) -> bool:
        """Whether windows are augmented in training."""
        fields = dataclasses.fields(self)
        return any(getattr(self, f.name) > 0 for f in fields if f.name.startswith("augment_"))

    @property
    def has_network(self) -> bool:
        """Whether there is an encoder; without one, statistics of the frames are taken."""
        return self.embedding_transformation != "Statistics"

    @property
    def dynamic(self) -> bool:
        """Whether the encoder takes windows of any length."""
        return self.embedding_transformation.startswith("Dynamic_")
