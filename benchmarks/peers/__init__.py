"""What is measured: one program each, run as a process of its own, so that nothing is imported here."""
