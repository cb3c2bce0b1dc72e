"""Files that are whole or as they were before, and say what is wrong with them."""
