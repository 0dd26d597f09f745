"""Unspeech for Kaldi: embeddings of speaker and channel context, learnt from raw speech.

    from unspeech import load_model
    vector = load_model("voices-so762").embed("a.wav")

B. Milde and C. Biemann, "Unspeech: Unsupervised Speech Context Embeddings", Interspeech 2018.

Data flows one way and the modules stand in that order; none imports one further down:
`archives`, `features`, `sampling`, `encoders` and `objectives`, `train`, `embed`, `cluster`,
`evaluate`, `report`. The last three do not import TensorFlow.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Loaded when it is asked for: the programs of the steps start quicker without it.
    if name == "load_model":
        from unspeech.api import load_model

        return load_model
    raise AttributeError(f"module 'unspeech' has no attribute '{name}'")
