"""A sweep: networks stacked on an axis, who trains which, the results."""
