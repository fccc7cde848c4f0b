"""Is this target alive?  Prober, verdict and board."""
