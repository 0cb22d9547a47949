"""Tests of the command line, mostly by running it as a process of its own."""
