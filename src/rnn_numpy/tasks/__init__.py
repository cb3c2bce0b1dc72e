"""What a network over bits shall compute, and how often it does."""
