"""Any torch network, followed operation by operation: its rounding bound and its mistakes."""
