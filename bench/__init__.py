"""How fast the pipeline is, measured on genuine servers; run by `make bench`, never as a test."""
