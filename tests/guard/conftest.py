"""What pytest is not to import: `exercise` runs only where the guard is preloaded."""

collect_ignore = ["exercise.py"]
