"""A trained task as files that are used without it: torch's export format, ONNX, MLflow's models."""
