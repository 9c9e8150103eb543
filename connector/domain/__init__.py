"""What is true without any system: entities, values, records, actions, policies."""
