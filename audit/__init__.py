"""What anybody with a key may know: a federation's studies, their history, and each version computed again."""
