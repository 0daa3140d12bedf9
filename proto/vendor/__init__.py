"""Messages of other projects, vendored: see README.md for their sources; generate.py makes the code."""
