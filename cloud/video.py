"""Decoding of what edges send; lives in `common`, since an edge that encodes vision itself decodes too."""

from common.video_decoding import CODECS, Sampled, VideoDecoder, VideoLimits
from common.video_sampling import sampled_indices

__all__ = ["CODECS", "Sampled", "VideoDecoder", "VideoLimits", "sampled_indices"]
