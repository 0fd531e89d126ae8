"""SpikeCodec (Feng et al., arXiv 2306.14108): scenes recovered from spikes, coded, and turned into spikes again."""
