"""Any torch network as the judge asks of it: bound, mistakes and places derived by machine."""
