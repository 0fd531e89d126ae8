"""The codecs, one file or folder each, behind `bench.interfaces.Codec`."""
