"""Fuzzing: every parser of what a server or a file sends, fed with damaged bytes, gives a whole result or one known error."""
