"""Charts, pages and spreadsheets."""
