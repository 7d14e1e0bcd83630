"""Text generation: the engine protocol, its implementations, and the model files."""
