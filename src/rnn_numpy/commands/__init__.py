"""Code shared by the commands: flags, terminal, log, figure."""
