"""Runs from a tracking server or a folder, and results back to the server: the only room that knows MLflow."""
