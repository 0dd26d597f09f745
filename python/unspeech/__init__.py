"""Unspeech for Kaldi: embeddings of speaker and channel context, learnt from raw speech.

B. Milde and C. Biemann, "Unspeech: Unsupervised Speech Context Embeddings", Interspeech 2018.

Data flows one way and the modules stand in that order; none imports one further down:
`archives`, `features`, `sampling`, `encoders` and `objectives`, `train`, `embed`, `cluster`,
`evaluate`, `report`. The last three do not import TensorFlow.
"""

__version__ = "0.1.0"
