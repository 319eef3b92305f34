"""What was found? One module for each `polytalk evaluate` command, with its table and its JSON."""
