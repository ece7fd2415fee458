"""Widgets for JupyterLab: one folder each, Python and what the browser runs side by side."""
