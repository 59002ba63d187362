"""Run many trainings: the runner, worker processes, and the placement of runs on GPUs and cores."""
