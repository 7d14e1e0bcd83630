"""The Ray Serve application, the engines, and capture."""
