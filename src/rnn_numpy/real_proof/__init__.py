"""Every state that the network itself can reach, enclosed in finitely many sets."""
