"""How fast, how much memory: `make bench`, after a parity gate."""
