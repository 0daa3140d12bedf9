"""The API between controller and node agent, and the protocols of others in vendor."""
