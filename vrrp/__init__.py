"""Does this node own the address?  The room is furnished when the VRRP agent arrives."""
