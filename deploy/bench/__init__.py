"""`make bench`: how fast starts and stops are, beside a bare pod's in the same run."""
