"""What is measured: python -m benchmarks.speed.online, and so on, from here."""
