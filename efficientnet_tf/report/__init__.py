"""The report of a run, one HTML file made from what lies in its model_dir; runs side by side."""
