"""What the commands share: flags, terminal, log, checkpoints, pictures."""
