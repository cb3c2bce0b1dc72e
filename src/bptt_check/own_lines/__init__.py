"""The judge's subject for any torch network: bound, mistakes and locations, derived by machine."""
