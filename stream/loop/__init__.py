"""The closed loop: from a retraining request to a better model, or back to the old one."""
