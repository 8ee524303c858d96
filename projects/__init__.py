"""What is trained: each folder holds one MLflow project's code."""
