"""The wrong passes that nobody had looked at while the check was built."""
