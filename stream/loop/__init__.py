"""The closed loop: from a retraining request to a better model, and back if it is worse."""
