# The common case of the packet path, compiled: fastpath/src/python.rs names what is here.

__all__ = ["__version__"]

__version__: str
