"""The Faust stages: score, watch, alert and retrain."""
