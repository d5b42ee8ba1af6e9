"""Emulated links between an edge and a cloud: profiles, and backends that make real TCP feel them."""
