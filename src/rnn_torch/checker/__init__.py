"""The judge: is a backward pass right; if not, where in time and which mistake."""
