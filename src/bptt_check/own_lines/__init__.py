"""The lines of a user's backward pass that lead to its wrong gradients, from its source alone."""
