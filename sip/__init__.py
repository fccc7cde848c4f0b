"""The language: bytes to message and back.  Nobody else in the tree parses SIP; nothing here does I/O."""
