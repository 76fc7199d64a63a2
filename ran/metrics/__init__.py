"""What a run measures: rows, summary and pictures."""
