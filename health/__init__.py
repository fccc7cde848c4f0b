"""Is this target alive?  Prober, verdict and board; the room is furnished when probing arrives."""
