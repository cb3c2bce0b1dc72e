"""The training recipe, its engines and its checkpoints, for one network or many."""
