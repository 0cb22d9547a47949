"""A synthetic S3 server in a process of its own, fast enough never to be the bottleneck."""
