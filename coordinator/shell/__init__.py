"""What does: Kafka, files, threads and clocks around the core."""
