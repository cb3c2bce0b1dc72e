"""The training recipe, its engines and its checkpoint, for one network or many."""
