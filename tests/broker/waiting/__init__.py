"""A task without torch whose training ends when a test says so; the folder is what its digest covers."""
