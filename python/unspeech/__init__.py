"""Unspeech for Kaldi: embeddings of speaker and channel context, learnt from raw speech.

    from unspeech import load_model
    vector = load_model("voices-so762").embed("a.wav")

B. Milde and C. Biemann, "Unspeech: Unsupervised Speech Context Embeddings", Interspeech 2018.

Here stand the Python API and one thin program for every `python3 -m unspeech.NAME`. The work is in
packages, and data flows through them in this order; none imports one further down:
`cli`, `files`, `kaldi`, `audio`, `network`, `training`, `embedding`, `corrections`, `clustering`,
`evaluation`, `listen`. TensorFlow is imported where there is a network: in `network.backend`.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # Loaded when it is asked for: the programs of the steps start quicker without it.
    if name == "load_model":
        from unspeech.api import load_model

        return load_model
    raise AttributeError(f"module 'unspeech' has no attribute '{name}'")
