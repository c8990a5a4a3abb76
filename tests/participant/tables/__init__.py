"""A ward's tables as hospitals have them, awkward each in its own way, and a task that reads them."""
