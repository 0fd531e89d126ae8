"""The three paradigms of the paper (Fig. 2), each a wiring of typed stages."""
