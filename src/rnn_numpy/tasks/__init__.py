"""Tasks of networks over bits, and the counts of inputs that a network gets right."""
