"""The same network as a torch.nn.Module, and its gradient by autograd."""
