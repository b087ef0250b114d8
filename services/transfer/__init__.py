"""Uploads recordings to the cloud, each once, with the ticket that is known then, and announces what was sent."""
