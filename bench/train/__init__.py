"""Training of the learned codecs: training data on disk, resumable runs, and a card that describes the weights."""
