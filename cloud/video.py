"""Decoding of what edges send; lives in `common`, since an edge that encodes vision itself decodes too.

In a daemon, a child process decodes (`common/decoding.py`).
"""

from common.video_decoding import Sampled, VideoDecoder
from common.video_limits import CODECS, VideoLimits
from common.video_sampling import sampled_indices

__all__ = ["CODECS", "Sampled", "VideoDecoder", "VideoLimits", "sampled_indices"]
