"""Tables and figures built from the rows of one or more runs."""
