"""What a person sees in a terminal: progress, text tables, how a command ends."""
