"""The privacy audit: epsilon estimated from below on the code that ships, and mutants of it that must be caught."""
