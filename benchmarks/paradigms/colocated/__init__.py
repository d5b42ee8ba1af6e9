"""The co-located baseline: drafter and target both in the cloud, ordinary speculative decoding beside the target.

The edge's agent (`agent.py`) uploads the question, the drafter's event pictures and the video; the cloud's gateway
(`gateway.py`) runs the drafter beside the target daemon and streams the answer down. No draft crosses the link.
"""
