"""Bad candidates that get past the gates, on a fleet of real agent directories: how far each comes, and how soon it is halted."""
