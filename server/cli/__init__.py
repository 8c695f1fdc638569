"""`covey`: what an operator can say, one file a subject. Each command is a few lines around a plain function."""
