"""The tables and pictures of the documentation, made from the kept results."""
