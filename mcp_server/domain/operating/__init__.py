"""What the operator did to the server itself: which rules are in force, and where the database came from."""
