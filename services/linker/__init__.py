"""Decides which ticket belongs to which recording, and announces every change as a TicketLinked."""
