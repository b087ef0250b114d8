"""Keeps the ticket that the cloud shows for a transferred recording at the newest link."""
