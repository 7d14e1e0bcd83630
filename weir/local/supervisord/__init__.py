"""supervisord: its configuration, start and XML-RPC client, and the components that it starts and stops."""
