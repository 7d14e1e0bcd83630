"""The retraining stage: agreeing alerts become a request, or a suppression with the gates that failed."""
