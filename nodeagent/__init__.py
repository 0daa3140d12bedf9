"""The node agent: owns the persistent roots of its node and puts containers onto them."""
