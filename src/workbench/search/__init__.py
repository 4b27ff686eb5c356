"""Many runs from one command: grids and Optuna studies that survive a stop."""
