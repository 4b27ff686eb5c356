"""What a deployed model needs to be used: images in, answers out.

This folder imports nothing of the rest, by relative names alone: MLflow keeps a copy of it with every model.
"""
