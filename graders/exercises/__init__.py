"""The laws, specifications and cases of each exercise."""
