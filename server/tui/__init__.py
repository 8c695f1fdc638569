"""The operator's terminal: it reads the store, and runs the same commands as a person would type."""
