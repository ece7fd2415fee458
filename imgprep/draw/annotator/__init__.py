"""RegionAnnotator: draw one subject region per image in JupyterLab."""
