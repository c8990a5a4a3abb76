"""Writing and leading: records until the broker has them, transactions, and who may make them."""
