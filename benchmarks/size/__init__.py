"""Times in a small database and in a large one."""
