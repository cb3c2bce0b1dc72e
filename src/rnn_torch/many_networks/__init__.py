"""A sweep: networks stacked on an axis, their distribution over processes, the results."""
