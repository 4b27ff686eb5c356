"""A trained model and any number of image files: predictions.csv, predictions.jsonl and heat maps."""
