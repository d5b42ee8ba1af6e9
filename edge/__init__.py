"""The edge daemon: reads events and video, drafts with EventGPT, streams drafts to the cloud, shows the answer."""
