"""The judge: whether a backward pass is right, where in time it fails, which mistake it makes."""
