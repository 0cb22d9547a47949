"""A store of a billion keys that takes no memory, and a simulated clock on which its listing runs."""
