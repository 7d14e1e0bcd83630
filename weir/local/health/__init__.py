"""Health checks of components, and the watcher that restarts the ones that hang."""
