"""What the learned codecs share: layers, entropy models, entropy coding, fixed-point arithmetic, weight files."""
