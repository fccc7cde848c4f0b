"""Which destination gets this message, and what leaves on the wire?"""
