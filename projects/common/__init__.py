"""What several projects share: MLflow runs, the lifetime of programs, grids, training processes."""
