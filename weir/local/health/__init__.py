"""Health checks of components, and the watcher that restarts components that hang."""
