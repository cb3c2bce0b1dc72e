"""Every state that a rounded network can reach, visited: proved or refuted."""
