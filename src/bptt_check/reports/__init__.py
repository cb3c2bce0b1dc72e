"""The judge's report as text, as an HTML page and as a figure."""
