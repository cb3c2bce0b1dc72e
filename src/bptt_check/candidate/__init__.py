"""Run an untrusted file in a separate process with resource limits; does not import torch."""
