"""Enclose every state that the network as trained can reach in finitely many sets."""
