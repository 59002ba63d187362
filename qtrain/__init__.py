"""Train language models with the verified estimators: task -> rollouts -> log-weights -> coefficients -> loss -> update."""
