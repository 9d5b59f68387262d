"""Loss, learning-rate schedule, optimizer rule and weight average of the paper's recipe."""
