"""The report of a run: one HTML file made from what lies in its model_dir; and runs side by side."""
