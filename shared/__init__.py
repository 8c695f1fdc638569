"""What the server and the client say to each other."""
