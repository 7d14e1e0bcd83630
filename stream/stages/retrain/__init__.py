"""The retraining stage: agreeing alerts cause a retraining request, or a suppression that names the failed gates."""
