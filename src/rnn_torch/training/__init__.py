"""The recipe's learners in torch, in one process or in several."""
