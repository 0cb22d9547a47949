"""Checks: what lies there (status), what lies here (verify), what may be done (doctor). They change nothing."""
