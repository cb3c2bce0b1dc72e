"""What the commands of all packages share; none of it needs torch."""
