"""From the world to arrays on disk, and from these to packed training rows."""
