"""Which targets answer?  The loop that sends the probes and tells what they say."""
