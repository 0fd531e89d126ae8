"""The command line. Each file holds a group of verbs; only the verb that needs a heavy package imports it."""
