"""The whole story on flights data: what `make demo` runs."""
