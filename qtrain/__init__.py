"""Training: task -> rollouts -> log-weights -> estimator coefficients -> loss -> update."""
