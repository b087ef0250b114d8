"""What people would use instead: each peer does the same work on the same facts, as it is commonly set up."""
