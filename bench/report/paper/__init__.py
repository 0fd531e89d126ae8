"""The paper's tables and figures, made from measured rows and compared with the published values."""
