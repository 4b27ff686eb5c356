"""What the run folders tell of the past: lists, differences, a diary; without torch or a tracker."""
