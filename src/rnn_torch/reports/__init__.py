"""What the judge found, as text, as a page and as a picture."""
