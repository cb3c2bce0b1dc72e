"""The recipe, the engines that run it, its checkpoints; one network or many."""
