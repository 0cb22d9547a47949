"""The wire: pooled HTTP, request signing, credentials, and the loop behind sync calls."""
