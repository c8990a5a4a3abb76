"""A task without torch for tests of the trainer; the folder is what its digest covers."""
