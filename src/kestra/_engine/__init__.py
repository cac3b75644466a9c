"""What an engine keeps of the lines that a task prints: its rules, without any I/O."""
