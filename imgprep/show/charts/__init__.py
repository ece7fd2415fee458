"""Frames of counts → matplotlib Axes. Nothing is counted, shown or saved here."""
