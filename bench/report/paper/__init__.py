"""The paper's tables and figures from measured rows, beside the published values."""
