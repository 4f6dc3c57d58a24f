"""What a command shows while it works: its lines, its plan and position, no library's noise."""
