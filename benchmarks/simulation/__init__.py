"""A discrete-event model of the protocol: the real session and engine in virtual time, for fleets of any size."""
