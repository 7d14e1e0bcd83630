"""The Ray Serve application, the engines, capture."""
