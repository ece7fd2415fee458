"""Charts: draw tallies on matplotlib Axes. Nothing is counted, displayed or saved here."""
