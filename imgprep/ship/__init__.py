"""Ship: upload, submit, follow; runs, the reports that end them, and the gallery as the fold of all runs."""
