"""What the connector offers over HTTP: the receiver of webhooks."""
