"""What is learned: tasks (model, loss, metric, data contract) and their parameters as one flat vector."""
