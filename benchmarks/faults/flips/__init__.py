"""Bits flipped on the way between a real edge link and a real cloud service, wherever they fall: headers included."""
