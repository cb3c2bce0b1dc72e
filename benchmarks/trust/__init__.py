"""What holds: proofs, kill -9, mutated files, what other checkers see."""
