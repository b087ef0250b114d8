"""The three services. None imports another; they share schemas/ and shared/."""
