"""The recipe's engines and learners in torch, in one process or in several."""
