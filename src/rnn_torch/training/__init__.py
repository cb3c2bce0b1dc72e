"""The recipe's engines and learners in torch."""
