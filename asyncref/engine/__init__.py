"""The engine: what drives backends (scan, fetch) and what surrounds every request (flow)."""
