"""The retraining stage: agreeing alerts become a request, or a suppression that names the gate that said no."""
