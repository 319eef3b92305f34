"""The method: a scene to a video, clip by clip; it alone conducts media, conditioning, networks and sampler."""
