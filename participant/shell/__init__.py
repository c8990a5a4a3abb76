"""What the participant does: log, files, site.db, sending. Decides nothing."""
