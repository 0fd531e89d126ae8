"""Pictures and videos of recordings, streams and runs, for ``bench show``."""
