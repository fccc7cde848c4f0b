"""The front door: command line, configuration, wiring and demonstration.  Nobody imports it."""
