"""How fast does sipdispatch forward, beside the kernel's own floor and a tuned Kamailio?"""
