"""Training of the learned codecs: data written once, resumable runs, a card beside the weights."""
