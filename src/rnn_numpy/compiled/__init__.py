"""The same loops as machine code; open it only for speed."""
