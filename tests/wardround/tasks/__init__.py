"""A folder as a study's author would write it, small and without torch."""
