"""Ship: upload, submit and follow batches; runs, their error reports, and the gallery state computed from all runs."""
