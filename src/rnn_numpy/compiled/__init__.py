"""The loops over time as machine code, for speed only."""
