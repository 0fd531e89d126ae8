"""SpikeCodec (Feng et al., arXiv 2306.14108): recovers scenes from spikes, codes them, and fires spikes from them."""
