"""The cloud daemon: runs the target, verifies the drafts of many sessions in one packed forward, commits."""
