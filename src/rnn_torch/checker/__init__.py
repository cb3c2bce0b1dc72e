"""The judge: is a backward pass right; if not, where in time, which mistake; knows no network."""
