"""The edge: event streams, the drafter, the session, and the link to the cloud. Never imports `cloud`."""
