"""A stranger's file, run in a process of its own with limits; knows no torch."""
