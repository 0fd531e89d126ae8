"""What is measured beside the rows: cost of stages, networks, scores without a reference, accuracy without a codec."""
