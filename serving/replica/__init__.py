"""A model replica and the gateway's handle to it."""
